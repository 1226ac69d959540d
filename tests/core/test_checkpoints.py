"""Checkpoints on disk: which can be trusted, which may go, and what a killed writer leaves."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from dbtui.core.checkpoints import Checkpoint, checkpoints, keep_weights_only, newest_sound, prune, writing

HEADER = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
WEIGHTS = struct.pack("<Q", len(HEADER)) + HEADER + bytes(8)


def write(folder: Path, step: int, weights: bytes = WEIGHTS) -> Checkpoint:
    with writing(folder, step) as partial:
        (partial / "unet.safetensors").write_bytes(weights)
        (partial / "state.pt").write_bytes(b"optimizer" * 100)
    return checkpoints(folder)[0]


def flip_byte(file: Path, position: int) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)


def test_a_written_checkpoint_is_sound_and_resumable(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, 100)
    assert (checkpoint.path.name, checkpoint.step) == ("step-000100", 100)
    assert checkpoint.problem() == "" and checkpoint.resumable
    assert [p.name for p in tmp_path.iterdir()] == ["step-000100"]


@pytest.mark.parametrize("name", ["unet.safetensors", "state.pt"])
def test_a_flipped_byte_is_found_and_named(name: str, tmp_path: Path) -> None:
    checkpoint = write(tmp_path, 1)
    flip_byte(checkpoint.path / name, -1)
    assert checkpoint.problem(deep=False) == ""
    assert name in checkpoint.problem()


def test_a_shortened_file_is_found_without_reading_it(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, 1)
    with (checkpoint.path / "state.pt").open("rb+") as file:
        file.truncate(899)
    assert "state.pt has 899 bytes and should have 900" in checkpoint.problem(deep=False)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"files": 3}', '{"files": {"a": {}}}'])
def test_a_damaged_manifest_is_a_problem(content: str | None, tmp_path: Path) -> None:
    manifest = write(tmp_path, 1).path / "manifest.json"
    manifest.unlink() if content is None else manifest.write_text(content)
    assert "manifest" in checkpoints(tmp_path)[0].problem()


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, 1)
    (checkpoint.path / "unet.safetensors").unlink()
    assert "unet.safetensors" in checkpoint.problem(deep=False)


def test_the_newest_sound_checkpoint_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    for step in (50, 900, 1000, 1100):
        write(tmp_path, step)
    flip_byte(tmp_path / "step-001100" / "unet.safetensors", -1)
    (tmp_path / "step-001000" / "state.pt").unlink()
    found, sentences = newest_sound(tmp_path)
    assert found is not None and found.step == 900
    assert ["1100" in sentences[0], "1000" in sentences[1], len(sentences)] == [True, True, 2]


def test_without_a_sound_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert newest_sound(tmp_path / "nowhere") == (None, [])
    flip_byte(write(tmp_path, 1).path / "state.pt", 0)
    found, sentences = newest_sound(tmp_path)
    assert found is None and len(sentences) == 1


def test_checkpoints_are_in_the_order_of_their_steps(tmp_path: Path) -> None:
    for step in (999_999, 1_000_000, 2):
        write(tmp_path, step)
    (tmp_path / "step-x").mkdir()
    assert [c.step for c in checkpoints(tmp_path)] == [1_000_000, 999_999, 2]


def test_prune_keeps_the_newest_and_sweeps_partial_folders(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write(tmp_path, step)
    (tmp_path / ".step-000004.abc.partial").mkdir()
    (tmp_path / ".step-000004.abc.partial" / "unet.safetensors").write_bytes(b"half")
    prune(tmp_path, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000002", "step-000003"]


def test_a_failed_write_leaves_the_earlier_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with pytest.raises(OSError, match="disk full"), writing(tmp_path, 2) as partial:
        (partial / "unet.safetensors").write_bytes(b"half")
        raise OSError("disk full")
    assert [p.name for p in tmp_path.iterdir()] == ["step-000001"]
    assert checkpoints(tmp_path)[0].problem() == ""


def test_a_failed_write_of_the_same_step_leaves_the_earlier_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with pytest.raises(OSError, match="disk full"), writing(tmp_path, 1):
        raise OSError("disk full")
    assert checkpoints(tmp_path)[0].problem() == ""


def test_a_step_can_be_written_again(tmp_path: Path) -> None:
    write(tmp_path, 1)
    checkpoint = write(tmp_path, 1, WEIGHTS[:-1] + b"\x01")
    assert checkpoint.weights("unet").read_bytes().endswith(b"\x01")
    assert checkpoint.problem() == ""
    assert [p.name for p in tmp_path.iterdir()] == ["step-000001"]


def test_keeping_the_weights_only_drops_the_state_and_stays_sound(tmp_path: Path) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2)
    keep_weights_only(tmp_path)
    keep_weights_only(tmp_path)
    for checkpoint in checkpoints(tmp_path):
        assert checkpoint.problem() == "" and not checkpoint.resumable
        assert checkpoint.weights("unet").read_bytes() == WEIGHTS
        assert sorted(p.name for p in checkpoint.path.iterdir()) == ["manifest.json", "unet.safetensors"]


def test_keeping_the_weights_only_stops_at_no_damaged_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (write(tmp_path, 2).path / "manifest.json").write_text("{")
    keep_weights_only(tmp_path)
    assert [c.step for c in checkpoints(tmp_path) if not c.problem() and not c.resumable] == [1]
