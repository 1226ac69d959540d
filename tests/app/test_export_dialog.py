"""The export dialog, with a concept that was really taught and exports that are really made."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from textual.widgets import Input, Static

from dbtui.app.screens.export import ExportDialog
from dbtui.core.subjects import SUBJECTS

BEAR = SUBJECTS["teddy-bear"]
PATIENCE = 60.0


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of a home in which the embedded model was taught for a step."""
    home = tmp_path_factory.mktemp("taught")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBTUI_HOME", str(home))
        patch.setenv("OMP_NUM_THREADS", "1")
        command = [sys.executable, "-m", "dbtui", "train", str(BEAR.folder), "--name", "bear", "--prompt", BEAR.prompt]
        small = ["data.resolution=64", "training.steps=1", "training.batch_size=1", "sampling.every=0"]
        options = [part for assignment in small for part in ("--set", assignment)]
        subprocess.run([*command, "--model", "mini", *options], check=True, capture_output=True)
    return home / "concepts"


@pytest.fixture
def shelf(home: Path, tmp_path: Path, taught: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to export into, which is the person's own; the library has the concept ``bear``."""
    shutil.copytree(taught, home / "concepts")
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


async def open_dialog(ui: Any, destination: Path | None = None) -> ExportDialog:
    await ui.sees("bear", "\u2713 done")
    await ui.press("e")
    await ui.sees("Export bear", "are free there")
    dialog = ui.app.screen
    if destination is not None:
        dialog.query_one(Input).value = str(destination)
    return dialog


def exporters() -> list[psutil.Process]:
    """The exports that are children of this process."""
    found = []
    for process in psutil.Process().children():
        if process.status() != psutil.STATUS_ZOMBIE and "export" in process.cmdline():
            found.append(process)
    return found


def test_a_concept_is_exported_and_an_earlier_export_is_replaced_when_told(
    drive: Callable[..., None], shelf: Path
) -> None:
    file = shelf / "bear.safetensors"

    async def export(ui: Any) -> None:
        await ui.press("f5")
        seen: set[str] = set()
        words = ("loading the model", "writing", "comparing every tensor")

        def done() -> bool:
            seen.update(word for word in words if word in ui.text)
            return "\u2713 Exported" in ui.text

        await ui.until(done)
        assert "loading the model" in seen and len(seen) > 1
        await ui.sees("598 tensors", "are the same bit for bit", "so is a picture", "/bear.safetensors")

    async def script(ui: Any) -> None:
        dialog = await open_dialog(ui)
        place = dialog.query_one("#to", Input)
        assert place.value == "~/bear"
        await ui.press("shift+tab", "right", "shift+tab", "right")
        assert place.value == "~/bear.safetensors", "the format gives the suffix"
        await ui.sees("About 42.5 MB")
        await export(ui)
        await ui.press("c")
        assert ui.app.clipboard == str(file)
        await ui.press("escape")
        first = file.stat()

        dialog = await open_dialog(ui)
        place = dialog.query_one("#to", Input)
        assert place.value == "~/bear-2", "what is offered is free"
        place.value = "~/bear.safetensors"
        await ui.sees("An earlier export is there")
        await ui.press("enter")
        await ui.sees("Replace it?", "No")
        await ui.press("enter")
        assert file.stat().st_ino == first.st_ino and not exporters()
        await ui.press("enter", "y")
        await ui.until(lambda: "\u2713 Exported" in ui.text)
        assert file.stat().st_size > first.st_size * 1.9, "now in 32 bit"

    drive(script)
    assert [path.name for path in shelf.iterdir()] == ["bear.safetensors"]


def test_escape_asks_once_and_then_nothing_is_left(drive: Callable[..., None], shelf: Path) -> None:
    async def script(ui: Any) -> None:
        await open_dialog(ui, shelf / "out")
        await ui.press("f5")
        await ui.sees("loading the libraries")
        await ui.press("escape")
        await ui.sees("End the export?")
        await ui.press("enter")
        await ui.until(lambda: ui.app.screen.id is None and isinstance(ui.app.screen, ExportDialog))
        assert exporters(), "No is the answer that is meant"
        await ui.press("escape", "y")
        await ui.sees("The export was ended", "numbers", "16 bit")
        assert not exporters()
        await ui.press("escape")
        assert not isinstance(ui.app.screen, ExportDialog)

    drive(script)
    assert list(shelf.iterdir()) == []


def test_leaving_the_app_ends_the_export(drive: Callable[..., None], shelf: Path) -> None:
    async def script(ui: Any) -> None:
        await open_dialog(ui, shelf / "out")
        await ui.press("f5")
        await ui.until(exporters)

    drive(script)
    deadline = time.monotonic() + PATIENCE
    while exporters():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list(shelf.iterdir()) == []


def test_what_cannot_be_is_said_while_it_is_typed_and_is_not_begun(drive: Callable[..., None], shelf: Path) -> None:
    mine = shelf / "mine"
    mine.mkdir()
    (mine / "diary.txt").write_text("dear diary")

    async def script(ui: Any) -> None:
        dialog = await open_dialog(ui, shelf / "nowhere" / "bear.ckpt")
        await ui.sees("There is no such folder")
        assert dialog.query_one("#format").value == "ckpt", "the suffix says which format is meant"
        await ui.press("shift+tab", "shift+tab", "left", "left", "tab", "tab")
        dialog.query_one("#to", Input).value = str(mine)
        await ui.sees("The destination is taken", "that dbtui did not make")
        await ui.press("enter", "f5")
        assert ui.app.screen is dialog and not exporters()
        dialog.query_one("#to", Input).value = ""
        await ui.sees("Export to where?")

    drive(script)
    assert [file.name for file in mine.iterdir()] == ["diary.txt"]


def test_an_export_that_fails_says_why_and_can_be_tried_again(
    drive: Callable[..., None], shelf: Path, home: Path
) -> None:
    weights = home / "concepts" / "bear" / "unet" / "weights.safetensors"
    sound = weights.read_bytes()
    weights.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))

    async def script(ui: Any) -> None:
        dialog = await open_dialog(ui, shelf / "out")
        await ui.press("enter")
        await ui.sees("The concept 'bear' is damaged", "to", "F5")
        said = str(dialog.query_one("#export-words", Static).content)  # in the window, lines end within words
        assert "Nothing was exported" in said and "Delete (d in the library)" in said

    drive(script)
    assert list(shelf.iterdir()) == []


def test_only_a_sound_concept_can_be_exported(
    drive: Callable[..., None], concept: Any, damaged_concept: Any, run_with: Any, steps: Any
) -> None:
    damaged_concept("cup")
    run_with(steps(1, 3), "rex")

    async def script(ui: Any) -> None:
        await ui.sees("cup", "rex")
        for _ in range(2):
            await ui.press("e")
            assert not isinstance(ui.app.screen, ExportDialog)
            await ui.press("down")

    drive(script)
