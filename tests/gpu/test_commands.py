"""The commands as a person with a GPU types them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from dbtui.core.events import Checkpoint, Log, Sample, Step
from dbtui.core.journal import JournalReader
from dbtui.core.run import Run, find_run
from dbtui.core.subjects import SUBJECTS

pytest.importorskip("triton")

BEAR = SUBJECTS["teddy-bear"]
Command = Callable[..., dict[str, Any]]
FAST = ["--model", "mini", "--prompt", BEAR.prompt, "--set", "training.precision=bf16", "--set", "sampling.count=2"]


def said(run: Run) -> list[Any]:
    return JournalReader(run.journal).read()


def test_doctor_finds_nothing_in_the_way(dbtui: Command) -> None:
    page = dbtui("doctor")
    assert page["problems"] == 0, [check for check in page["checks"] if check["state"] == "problem"]
    engine = page["engine"]
    assert engine["device"]["device"] == "cuda" and page["gpus"]
    assert not any(engine[part].get("problem") for part in ("torch", "device", "eight_bit", "kernels", "libraries"))
    assert not engine["attention"]["backends"]["memory-efficient"] or not engine["attention"]["backends"]["flash"]


def test_bench_measures_everything(dbtui: Command) -> None:
    found = dbtui("bench", "--model", "mini", "--batch", "1,2", "--steps", "10", "--draw-steps", "5")
    assert not [row["problem"] for row in found["rows"] if row["problem"]]
    for row in found["rows"]:
        assert row["milliseconds"] > 0 and row["pictures"] > 0 and row["memory"] > 0
    training = [row for row in found["rows"] if row["what"] == "training"]
    assert [row["batch"] for row in training] == [1, 2] and all(row["how"] == "CUDA graph" for row in training)
    assert all(0 < row["floor"] < 1 for row in training)
    assert torch.cuda.get_device_name() in found["words"]


def test_a_training_by_graph_from_photos_to_pictures(dbtui: Command) -> None:
    """With class pictures and samples by graph, and checkpoints for which the training hardly stands still."""
    answer = dbtui(
        "train", str(BEAR.folder), "--name", "rex", "--class-prompt", BEAR.class_prompt, *FAST,
        "--set", "training.steps=60", "--set", "training.checkpoint_every=20", "--set", "sampling.every=30",
        "--set", "sampling.graph=true", "--set", "prior.class_images=9", "--set", "training.layers=all",
    )  # fmt: skip
    assert (answer["state"], answer["step"]) == ("done", 60)
    events = said(find_run("rex"))
    words = [event.message for event in events if isinstance(event, Log)]
    assert any("as a CUDA graph" in text for text in words) and not any("plain way" in text for text in words), words
    assert [event.step for event in events if isinstance(event, Step)] == list(range(1, 61))
    assert [event.step for event in events if isinstance(event, Sample)] == [30, 60]
    saved = [event for event in events if isinstance(event, Checkpoint)]
    assert len(saved) == 2 and all(0 < event.stalled < event.seconds for event in saved)


def test_a_training_by_graph_is_stopped_and_resumed(dbtui: Command) -> None:
    dbtui(
        "train", str(BEAR.folder), "--name", "rex", *FAST, "--set", "training.steps=4000", "--set", "sampling.every=0",
        "--set", "training.checkpoint_every=0", "--detach",
    )  # fmt: skip
    run = find_run("rex")
    deadline = time.monotonic() + 200
    while not any(isinstance(event, Step) for event in said(run)):
        assert time.monotonic() < deadline and run.state().name == "live", run.log.read_text()[-2000:]
        time.sleep(0.05)
    dbtui("stop", "rex")
    stopped = [event for event in said(run) if isinstance(event, Step)][-1]
    assert 0 < stopped.step < 4000, "it was stopped on the way"
    dbtui("resume", "rex", "--detach")
    while [event for event in said(run) if isinstance(event, Step)][-1].step < stopped.step + 20:
        assert time.monotonic() < deadline and run.state().name == "live", run.log.read_text()[-2000:]
        time.sleep(0.05)
    dbtui("stop", "rex")
    steps = [event.step for event in said(run) if isinstance(event, Step)]
    assert steps == list(range(1, steps[-1] + 1)), "none twice, none left out"
