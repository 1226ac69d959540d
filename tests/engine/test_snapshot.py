"""What is set aside of a learner stays as it is, and is written as it was while the training goes on."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dbtui.core.checkpoints import newest_sound
from dbtui.core.events import Checkpoint, Event, Log, Step
from dbtui.engine import hashed_file, saver, snapshot
from dbtui.engine.hashed_file import HashedFile
from dbtui.engine.tensor_writers import write_state, write_weights


def test_the_training_goes_on_while_a_checkpoint_is_written(
    begin_run: Callable, train: Callable, heard: Callable, hashes: Callable, reference: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The writer is let go only after two more steps: what it writes is the state that it was given."""
    go_on, write = threading.Event(), saver.write_checkpoint

    def write_late(*arguments: object) -> object:
        assert go_on.wait(120)
        return write(*arguments)

    def hear(event: Event) -> None:
        if isinstance(event, Step) and event.step == 5:
            go_on.set()

    monkeypatch.setattr(saver, "write_checkpoint", write_late)
    run = begin_run(changes={"training.steps": 6})
    train(run, hear)
    events = [e for e in heard(run) if isinstance(e, Step | Checkpoint)]
    (told,) = (e for e in events if isinstance(e, Checkpoint))
    assert events.index(told) >= 5, "it is told once it is on the disk"
    assert told.step == 3 and 0 < told.stalled < told.seconds
    late = load_file(run.path / told.path / "unet.safetensors")

    monkeypatch.setattr(saver, "write_checkpoint", write)
    monkeypatch.setattr(snapshot, "_find", lambda learner, size: None)
    other = begin_run(changes={"training.steps": 6})
    train(other)
    (told,) = (e for e in heard(other) if isinstance(e, Checkpoint))
    assert told.stalled == told.seconds, "without memory for a copy the training waits"
    at_once = load_file(other.path / told.path / "unet.safetensors")
    assert all(torch.equal(late[name], weight) for name, weight in at_once.items())


def test_a_full_disk_costs_the_checkpoint_and_not_the_run(
    begin_run: Callable, train: Callable, heard: Callable, hashes: Callable, reference: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    write = HashedFile.write

    def refuse(file: HashedFile, data: bytes) -> int:
        if "step-000006" in str(file._file.name):
            raise OSError(errno.ENOSPC, "no space left")
        return write(file, data)

    monkeypatch.setattr(HashedFile, "write", refuse)
    run = begin_run()
    ended = train(run)
    assert ended.reason == "done" and hashes(ended.concept) == reference("plain")
    (warning,) = (e.message for e in heard(run) if isinstance(e, Log) and e.level == "warning")
    assert "step 6 could not be written" in warning and "The disk is full" in warning and "Earlier ones" in warning
    assert [e.step for e in heard(run) if isinstance(e, Checkpoint)] == [3]
    assert not list(run.checkpoints.glob(".*.partial"))


def test_a_stop_waits_for_the_checkpoint(begin_run: Callable, train: Callable) -> None:
    run = begin_run(changes={"training.checkpoint_every": 0})

    def ask(event: Event) -> None:
        if isinstance(event, Step) and event.step == 2:
            run.request("stop")

    ended = train(run, ask)
    newest, damaged = newest_sound(run.checkpoints)
    assert ended.reason == "stopped" and newest is not None and newest.step == ended.step and not damaged


def test_a_file_is_hashed_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashed_file, "SYNC_EVERY", 100_000)
    pieces = [bytes([i]) * size for i, size in enumerate((10, 70_000, 0, 200_000, 5, 90_000))]
    with HashedFile(tmp_path / "a") as file:
        for piece in pieces:
            file.write(piece)
    assert (tmp_path / "a").read_bytes() == b"".join(pieces)
    assert file.sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_weights_and_state_come_back(tmp_path: Path) -> None:
    weights = {"b": torch.randn(300, 100), "a": torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)}
    digest = write_weights(tmp_path / "w.safetensors", weights)
    assert digest == hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    back = load_file(tmp_path / "w.safetensors")
    assert back.keys() == weights.keys() and all(torch.equal(back[name], weights[name]) for name in back)
    state = {"steps": torch.tensor(3.0), "first": [torch.randn(70_000)], "overflows": 2, "average": None}
    digest = write_state(tmp_path / "s.pt", state)
    assert digest == hashlib.sha256((tmp_path / "s.pt").read_bytes()).hexdigest()
    read = torch.load(tmp_path / "s.pt", weights_only=True)
    assert torch.equal(read["first"][0], state["first"][0]) and read["overflows"] == 2
