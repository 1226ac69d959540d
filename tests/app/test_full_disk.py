"""A disk that takes no more: what is said, what is kept, and that the app goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dbtui.app.messages import OpenCompare, OpenPrompt
from dbtui.app.screens.compare import CompareScreen
from dbtui.app.screens.prompt import PromptScreen
from dbtui.app.settings import read_settings
from dbtui.app.studio import Studio
from dbtui.app.widgets.picture_grid import PictureGrid
from dbtui.core import paths
from dbtui.core.gallery import grid_folders
from dbtui.core.library import find_concept
from dbtui.core.prompts import prompts_file
from dbtui.core.run import runs

DRAWING = {"rows": "1", "columns": "2", "steps": "1"}


@pytest.fixture
def disk(bear: Studio, taught_home: Path, small_disk: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A small disk that the library is on, but for its concepts."""
    (small_disk.folder / "concepts").symlink_to(taught_home / "concepts")
    monkeypatch.setenv("DBTUI_HOME", str(small_disk.folder))
    paths.make_private(paths.pictures_dir())
    bear.rest()  # its process has another home
    yield small_disk
    bear.rest()


def words(ui: Any) -> str:
    """What is in the window, without its frames and its ends of lines."""
    return " ".join("".join(c if c.isascii() else " " for c in ui.text).split())


def kept_files() -> set[str]:
    """All files below the library's folder, but for the disk's ballast, and none that was not finished."""
    files = {p.name for p in paths.data_dir().rglob("*") if p.is_file() and p.name != "ballast"}
    assert not [name for name in files if name.startswith(".") or "partial" in name], files
    return files


async def open_prompt(ui: Any) -> PromptScreen:
    ui.app.drawing_settings = DRAWING
    await ui.sees("bear")
    ui.app.screen.post_message(OpenPrompt(find_concept("bear")))
    await ui.until(lambda: isinstance(ui.app.screen, PromptScreen))
    screen: PromptScreen = ui.app.screen
    return screen


def test_pictures_that_the_disk_does_not_take_are_told_and_drawn_once_there_is_room(
    drive: Callable[..., None], disk: Any
) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui)
        await ui.press("enter")
        await ui.until(lambda: screen.job is None and screen._grid is not None)
        (first,) = grid_folders("bear")
        disk.fill(4096)  # for a folder, and no picture
        screen.query_one("#prompt").value = "a bear " * 400  # its recipe has to be kept with each
        await ui.press("enter")
        await ui.until(lambda: "A picture could not be written" in ui.text)
        assert "is full. What was finished before is kept. Make room" in words(ui)
        await ui.press("escape")
        assert screen.job is None and grid_folders("bear") == [first]
        disk.empty()
        await ui.press("enter")
        await ui.until(lambda: screen.job is None and len(screen._folders) == 2)
        kept_files()

    drive(script)


def test_a_prompt_and_a_theme_that_cannot_be_kept_hold_until_the_end(drive: Callable[..., None], disk: Any) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui)
        disk.fill(16_384)
        screen.query_one("#prompt").value = "a bear " * 4000
        await ui.press("enter")
        await ui.until(lambda: any("could not be kept for the next time" in n.message for n in ui.app._notifications))
        assert screen.history and screen.history[-1].prompt.startswith("a bear a bear")
        assert not prompts_file().exists()
        await ui.until(lambda: screen.job is None)
        if ui.app.screen is not screen:  # the pictures have the prompt in them as well
            await ui.press("escape")
        disk.fill()
        ui.app.theme = "dbtui-light"
        await ui.until(lambda: any("could not be kept. The disk of" in n.message for n in ui.app._notifications))
        assert ui.app.theme == "dbtui-light" and read_settings()[0].theme == "dbtui-dark"
        kept_files()

    drive(script)


def test_a_picture_is_saved_elsewhere_when_a_disk_is_full(
    drive: Callable[..., None], bear: Studio, small_disk: Any, tmp_path: Path
) -> None:
    async def save_as(ui: Any, path: Path) -> None:
        await ui.press("s")
        await ui.sees("Save as")
        ui.app.screen.query_one("Input").value = str(path)
        await ui.press("enter")

    async def script(ui: Any) -> None:
        screen = await open_prompt(ui)
        await ui.press("enter")
        await ui.until(lambda: screen.job is None and screen._grid is not None)
        await ui.press("escape")
        small_disk.fill()
        await save_as(ui, small_disk.folder / "bear.png")
        await ui.sees("The picture could not be saved")
        told = f"The disk of {small_disk.folder} is full. Nothing of it was left there"
        assert told.replace(" ", "") in words(ui).replace(" ", "")  # a path is broken anywhere
        assert [p.name for p in small_disk.folder.iterdir()] == ["ballast"]
        await ui.press("escape")
        await save_as(ui, tmp_path / "bear.png")
        await ui.until(lambda: (tmp_path / "bear.png").exists())

    drive(script, (200, 40))


def test_a_table_that_a_full_disk_ends_shows_what_was_finished_and_is_saved_elsewhere(
    drive: Callable[..., None], disk: Any, tmp_path: Path
) -> None:
    async def script(ui: Any) -> None:
        ui.app.drawing_settings = {"steps": "40"}
        await ui.sees("bear")
        ui.app.screen.post_message(OpenCompare(find_concept("bear")))
        await ui.until(lambda: isinstance(ui.app.screen, CompareScreen))
        screen = ui.app.screen
        await ui.press("enter")
        await ui.until(lambda: screen.parts == (1, 2) and screen.begun)
        disk.fill()
        await ui.sees("1 column could not be drawn", "1 finished picture kept")
        assert "A picture could not be written. The disk of" in words(ui)
        await ui.press("escape")
        assert [cell.path is None for cell in screen.query_one(PictureGrid).cells] == [False, True]
        await ui.press("f5")
        await ui.until(lambda: (screen.job is None and "could not be" in ui.text) or "can be drawn" in ui.text)
        await ui.press("escape")
        disk.empty()
        screen.query_one("#steps").value = "1"
        await ui.press("f5")
        await ui.until(lambda: screen.job is None and all(c.path for c in screen.query_one(PictureGrid).cells))
        disk.fill()
        await ui.press("escape", "s")
        await ui.sees("Save as")
        ui.app.screen.query_one("Input").value = str(tmp_path / "table.png")
        await ui.press("enter")
        await ui.until(lambda: (tmp_path / "table.png").exists())
        kept_files()

    drive(script)


def test_what_can_only_be_read_is_looked_at(drive: Callable[..., None], disk: Any) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui)
        subprocess.run(["mount", "-o", "remount,ro", str(disk.folder)], check=True)
        await ui.press("enter")
        await ui.sees("Nothing can be drawn", "can only be read", "DBTUI_HOME")
        await ui.press("escape")
        assert screen.job is None
        await ui.press("escape")
        await ui.sees("1 concept")
        ui.app.screen.post_message(OpenCompare(find_concept("bear")))
        await ui.until(lambda: isinstance(ui.app.screen, CompareScreen))
        await ui.press("enter")
        await ui.sees("Nothing can be drawn", "can only be read")
        assert ui.app.screen is not None

    drive(script)


def test_a_run_that_has_no_room_is_refused_and_leaves_nothing(drive: Callable[..., None], disk: Any) -> None:
    async def script(ui: Any) -> None:
        await ui.sees("bear")
        await ui.press("t")
        await ui.sees("The disk is too full", "Nothing was", "started", "Make room")
        assert not ui.app._notifications, "nothing is said to have begun"
        await ui.press("escape")
        assert not runs() and not list(paths.data_dir().glob("runs/*"))

    drive(script)
