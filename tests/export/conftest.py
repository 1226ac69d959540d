"""Concepts that were really taught, their exports, and what the files of both hold."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from safetensors.torch import load_file
from torch import Tensor

from dbtui.core import paths
from dbtui.core.config import Config
from dbtui.core.export import Order, make_order
from dbtui.core.journal import JournalWriter
from dbtui.core.library import Concept, find_sound_concept
from dbtui.core.subjects import SUBJECTS
from dbtui.engine.export import Export, export
from dbtui.engine.narrator import Narrator
from dbtui.jobs.begin import begin, check

BEAR = SUBJECTS["teddy-bear"]

TAUGHT = {
    "concept.name": "bear",
    "concept.prompt": BEAR.prompt,
    "data.folder": str(BEAR.folder),
    "data.resolution": 64,
    "training.steps": 1,
    "training.batch_size": 1,
    "training.learning_rate": 1e-4,
    "training.optimizer": "adamw",
    "training.text_encoder": True,
    "training.checkpoint_every": 0,
    "sampling.every": 0,
}


@dataclass(frozen=True)
class Taught:
    """A home whose library has the concept ``bear``, and a folder in diffusers layout of its base model."""

    home: Path
    base: Path

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """What the concept consists of, read from its files: by component and name, in 32 bit."""
        learned = self.home / "concepts" / "bear"
        files = {part: learned / part / "weights.safetensors" for part in ("unet", "text_encoder")}
        files["vae"] = self.base / "vae" / "diffusion_pytorch_model.safetensors"
        return {
            part: {name.removeprefix("text_model."): tensor.float() for name, tensor in load_file(file).items()}
            for part, file in files.items()
        }


@dataclass(frozen=True)
class Exported:
    """An order that was carried out, and what was said of it."""

    order: Order
    export: Export
    taught: Taught

    @property
    def path(self) -> Path:
        return self.order.path


def teach(base: str, home: Path) -> None:
    """One step of UNet and text encoder, in this process."""
    from dbtui.engine.loop import train
    from dbtui.engine.stopping import StopFlag

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBTUI_HOME", str(home))
        run = begin(check(Config().replace({**TAUGHT, "model.base": base})))
        journal = JournalWriter(run.journal)
        try:
            assert train(run, Narrator(journal), StopFlag(run), None).concept == "bear"
        finally:
            journal.close()


@pytest.fixture(scope="session")
def taught(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path], tiny_file: Callable[..., Path]
) -> Callable[[str], Taught]:
    """``taught("sd2")``: the concept on that base model (mini, sd1, sd2, or sd2-file: a single file), taught once."""
    known: dict[str, Taught] = {}

    def on_base(base: str) -> Taught:
        if base not in known:
            family, _, file = base.partition("-")
            folder = paths.mini_dir() / "model" if base == "mini" else tiny_folder(family)
            name = "mini" if base == "mini" else str(tiny_file(family) if file else folder)
            known[base] = Taught(tmp_path_factory.mktemp(f"taught-{base}"), folder)
            teach(name, known[base].home)
        return known[base]

    return on_base


@pytest.fixture(scope="session")
def exported(
    tmp_path_factory: pytest.TempPathFactory, taught: Callable[[str], Taught]
) -> Callable[[str, str, bool], Exported]:
    """``exported("mini", "ckpt", True)``: an export in 16 bit, made once. No test may change it."""
    known: dict[tuple[str, str, bool], Exported] = {}

    def make(base: str, format: str, half: bool = False) -> Exported:
        key = (base, format, half)
        if key not in known:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("DBTUI_HOME", str(taught(base).home))
                place = tmp_path_factory.mktemp("exported") / "out"
                order, _ = make_order("bear", str(place), format, half)
                known[key] = Exported(order, export(order, Narrator(None), lambda partial: None), taught(base))
        return known[key]

    return make


@pytest.fixture
def bear(home: Path, taught: Callable[[str], Taught]) -> Concept:
    """The concept on the small model of the 1.x family, in the library of this test, which may damage it."""
    shutil.copytree(taught("sd1").home / "concepts", home / "concepts")
    return find_sound_concept("bear")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """An empty folder to export into."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder


@pytest.fixture
def order(shelf: Path) -> Callable[..., Order]:
    """``order("ckpt", half=True)`` is the order of an export of the bear in that format to a place on the shelf."""

    def make(format: str, **options: bool) -> Order:
        return make_order("bear", str(shelf / f"as-{format}"), format, **options)[0]

    return make
