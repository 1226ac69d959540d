"""An export that is not the concept never gets its name, and nothing of it is left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dbtui.core.errors import DbtuiError
from dbtui.core.export import Order, make_order, not_an_export
from dbtui.core.library import Concept
from dbtui.engine import export as engine
from dbtui.engine import proof
from dbtui.engine.frame import write_frame
from dbtui.engine.models import Models
from dbtui.engine.narrator import Narrator
from dbtui.jobs.export import Exported

pytestmark = pytest.mark.filterwarnings("ignore:.*torch_dtype:FutureWarning")  # the name that all releases know


def export_here(order: Order) -> None:
    engine.export(order, Narrator(None), lambda partial: None)


def flip_a_bit(file: Path) -> None:
    """In the last fifth, where there are weights in every format."""
    with open(file, "rb+") as handle:
        handle.seek(file.stat().st_size * 9 // 10)
        (byte,) = handle.read(1)
        handle.seek(-1, 1)
        handle.write(bytes([byte ^ 1]))


@pytest.mark.parametrize(("format", "writer"), [("diffusers", "safetensors"), ("safetensors",) * 2, ("ckpt",) * 2])
def test_a_bit_that_flips_on_the_disk_is_found(
    format: str, writer: str, bear: Concept, order: Callable[..., Order], shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = getattr(engine, f"write_{writer}")

    def write_to_a_bad_disk(path: Path, *rest: Any) -> None:
        write(path, *rest)
        flip_a_bit(path)

    monkeypatch.setattr(engine, f"write_{writer}", write_to_a_bad_disk)
    with pytest.raises(DbtuiError, match="did not pass its check"):
        export_here(order(format))
    assert not list(shelf.iterdir())


def test_the_right_tensors_with_a_wrong_config_are_found_by_the_picture(
    bear: Concept, order: Callable[..., Order], shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_wrong_frame(folder: Path, models: Models) -> None:
        write_frame(folder, models)
        config = folder / "scheduler" / "scheduler_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "beta_end": 0.02}))

    monkeypatch.setattr(engine, "write_frame", write_wrong_frame)
    with pytest.raises(DbtuiError, match="does not draw the picture"):
        export_here(order("diffusers"))
    assert not list(shelf.iterdir())


def test_rounding_is_told_and_refuses_nothing(
    bear: Concept, order: Callable[..., Order], shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a processor's sums depend on where memory lies: the second picture is off in the last bits."""
    draw, drawn = proof.draw, []

    def draw_askew(*about: Any) -> Any:
        drawn.append(draw(*about))
        return drawn[-1] + 1e-5 * (len(drawn) - 1)

    monkeypatch.setattr(proof, "draw", draw_askew)
    made = engine.export(order("safetensors"), Narrator(None), lambda partial: None)
    assert 0 < made.rounding < 1e-4 and len(drawn) == 2
    exported = Exported(shelf, made.size, made.tensors, made.picture, made.rounding)
    assert exported.words().endswith("from a fixed seed but for rounding (1e-05).")
    assert list(shelf.iterdir())


@pytest.mark.parametrize(("format", "half"), [("diffusers", True), ("safetensors", False)])
def test_an_earlier_export_is_replaced_at_once_or_not_at_all(
    format: str, half: bool, bear: Concept, exported: Callable, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = exported("sd1", format, half).path
    old = shelf / made.name
    shutil.copytree(made, old) if made.is_dir() else shutil.copy(made, old)
    wanted, _ = make_order("bear", str(old), format, half, overwrite=True)
    before = contents(shelf)
    write = engine.write_safetensors

    def fill_the_disk(path: Path, *rest: Any) -> None:
        write(path, *rest)
        assert before.items() <= contents(shelf).items(), "the old export went before the new one was ready"
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "write_safetensors", fill_the_disk)
        with pytest.raises(DbtuiError, match="No space left"):
            export_here(wanted)
    assert contents(shelf) == before

    export_here(wanted)
    assert contents(shelf).keys() == before.keys() and contents(shelf) != before
    assert not not_an_export(old, format)


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


def test_what_does_not_fit_16_bit_is_said(bear: Concept, order: Callable[..., Order], shelf: Path) -> None:
    models = engine.load_concept(bear, Narrator(None))
    models.unet.conv_in.bias.data[0] = 1e6
    with pytest.raises(DbtuiError, match="do not fit 16 bit"):
        engine.check_finite(models.to("cpu", torch.float16))


def test_a_concept_that_is_not_what_was_taught_is_refused(
    bear: Concept, order: Callable[..., Order], shelf: Path
) -> None:
    with pytest.raises(DbtuiError, match="base model has changed"):
        engine.load_concept(replace(bear, base_fingerprint="0" * 64), Narrator(None))
    flip_a_bit(bear.weights("unet"))
    with pytest.raises(DbtuiError, match="is damaged"):
        export_here(order("safetensors"))
    assert not list(shelf.iterdir())


def test_the_recipe_outlives_the_run(bear: Concept, order: Callable[..., Order]) -> None:
    wanted = order("ckpt")
    export_here(wanted)
    texts = torch.load(wanted.path, weights_only=True)["dbtui"]
    assert texts["dbtui.training.steps"] == "1" and "dbtui.training.optimizer" not in texts
