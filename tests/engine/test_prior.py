"""Class pictures are made once, shared, and mended one by one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dbtui.core.config import PriorConfig
from dbtui.core.events import Phase
from dbtui.engine import prepare
from dbtui.engine.models import Models
from dbtui.engine.prior import class_folder, make_class_pictures

PRIOR = PriorConfig(enabled=True, class_prompt="a photo of a toy", class_images=5, steps=2, batch_size=2)


@pytest.fixture
def make(mini: Models) -> Callable[..., tuple[list[Path], int]]:
    """Makes class pictures; returns their files and how many denoising steps of pictures that took."""

    def make(prior: PriorConfig = PRIOR) -> tuple[list[Path], int]:
        steps = [0]
        sources = make_class_pictures(mini, prior, 64, lambda done, total: steps.append(done))
        return [source.path for source in sources], max(steps)

    return make


def contents(files: list[Path]) -> list[bytes]:
    return [file.read_bytes() for file in files]


def times(files: list[Path]) -> list[int]:
    return [file.stat().st_mtime_ns for file in files]


def test_class_pictures_are_made_once(make: Callable) -> None:
    files, steps = make()
    assert len(files) == 5 and steps == 5 * PRIOR.steps
    assert len(set(contents(files))) == 5
    before = times(files)
    assert make() == (files, 0)
    assert times(files) == before


def test_missing_and_damaged_ones_are_made_again_alone(make: Callable) -> None:
    files, _ = make()
    before, written = contents(files), times(files)
    files[1].unlink()
    files[4].write_bytes(before[4][:-50])
    again, steps = make()
    assert again == files and contents(files) == before
    assert steps == 3 * PRIOR.steps, "the batch of two with the missing one, and the last"
    assert [times(files)[i] for i in (0, 2, 3)] == [written[i] for i in (0, 2, 3)]


def test_more_are_added_to_those_that_are_there(make: Callable) -> None:
    files, _ = make(replace(PRIOR, class_images=4))
    before = contents(files)
    more, steps = make()
    assert more[:4] == files and contents(files) == before
    assert steps == PRIOR.steps


def test_a_picture_of_the_wrong_size_is_made_again(make: Callable) -> None:
    files, _ = make(replace(PRIOR, class_images=2))
    before = contents(files)
    Image.new("RGB", (32, 32)).save(files[0])
    make(replace(PRIOR, class_images=2))
    assert contents(files) == before


def flip_a_bit(file: Path, position: float) -> None:
    data = bytearray(file.read_bytes())
    data[int(len(data) * position)] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("position", [0.1, 0.5, 0.9])
def test_one_wrong_bit_in_a_picture_is_noticed(make: Callable, position: float) -> None:
    files, _ = make(replace(PRIOR, class_images=2))
    before = contents(files)
    flip_a_bit(files[1], position)
    assert make(replace(PRIOR, class_images=2))[1] == 2 * PRIOR.steps
    assert contents(files) == before
    assert make(replace(PRIOR, class_images=2))[1] == 0


@pytest.mark.parametrize("name", ["SHA256SUMS", "about.json"])
def test_a_wrong_list_or_description_is_mended(make: Callable, name: str) -> None:
    files, _ = make(replace(PRIOR, class_images=2))
    before, file = contents(files), files[0].with_name(name)
    wanted = {line for line in file.read_text().splitlines()}
    for position in (0.02, 0.6):
        flip_a_bit(file, position)
        make(replace(PRIOR, class_images=2))
        assert contents(files) == before
        assert wanted <= set(file.read_text(errors="replace").splitlines())
        assert make(replace(PRIOR, class_images=2))[1] == 0


def test_using_the_pictures_is_their_last_use(make: Callable) -> None:
    files, _ = make(replace(PRIOR, class_images=1))
    os.utime(files[0].parent, (1, 1))
    make(replace(PRIOR, class_images=1))
    assert files[0].parent.stat().st_mtime > 1e9


def test_what_changes_the_pictures_changes_their_folder(mini: Models) -> None:
    others = [replace(PRIOR, class_prompt="a photo of a dog"), replace(PRIOR, steps=3), replace(PRIOR, guidance=2.0)]
    folders = {class_folder(mini, prior, 64) for prior in (PRIOR, *others)} | {class_folder(mini, PRIOR, 128)}
    assert len(folders) == 5
    assert class_folder(mini, replace(PRIOR, class_images=9, weight=0.1), 64) in folders


def test_a_later_run_shares_them(begin_run: Callable, train: Callable, heard: Callable) -> None:
    made = []
    for _ in range(2):
        run = begin_run("prior", {"training.steps": 1})
        assert train(run).reason == "done"
        made.append(any(isinstance(e, Phase) and e.name == "making class pictures" for e in heard(run)))
    assert made == [True, False]


@pytest.mark.parametrize("fast", [True, False])
def test_a_cpu_with_units_for_bf16_draws_them_in_it(
    begin_run: Callable, train: Callable, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    kinds: list[bool] = []

    def made(*given: Any) -> Any:
        kinds.append(torch.is_autocast_enabled("cpu"))
        return make_class_pictures(*given)

    monkeypatch.setattr(prepare.machine, "has_fast_bf16", lambda device: fast)
    monkeypatch.setattr(prepare, "make_class_pictures", made)
    changes = {
        "prior.enabled": True,
        "prior.class_prompt": "a photo of a toy",
        "prior.class_images": 1,
        "prior.steps": 1,
    }
    assert train(begin_run("prior", {**changes, "training.steps": 1})).reason == "done"
    assert kinds == [fast]
