"""Comparing weights: a table of real pictures, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from dbtui.app.screens.compare import CompareScreen
from dbtui.app.screens.photo import PhotoDialog
from dbtui.app.studio import Studio
from dbtui.app.widgets.draw_form import DrawForm
from dbtui.app.widgets.picture_grid import PictureTable
from dbtui.core import paths
from dbtui.core.grid import Recipe


async def open_compare(ui: Any, **settings: str) -> CompareScreen:
    ui.app.drawing_settings = {"steps": "2", **settings}
    await ui.sees("bear", "\u2713 done")
    await ui.press("m")
    await ui.until(lambda: isinstance(ui.app.screen, CompareScreen))
    screen: CompareScreen = ui.app.screen
    await ui.sees("3 columns", "mini, untaught \u00b7 step 1 \u00b7 taught, 2 steps", "kept one checkpoint, step 1")
    return screen


async def finish(ui: Any, cells: int) -> list[Path]:
    """The pictures of the whole table."""
    table = ui.app.screen.query_one(PictureTable)
    await ui.until(lambda: ui.app.screen.job is None and sum(cell.path is not None for cell in table.cells) == cells)
    return [cell.path for cell in table.cells]


def recipe(picture: Path) -> Recipe:
    with Image.open(picture) as image:
        return Recipe.parse(image.info["parameters"])


def test_the_same_prompts_and_seed_are_drawn_with_each_weights_and_saved_as_a_table(
    drive: Callable[..., None], bear: Studio, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    async def script(ui: Any) -> None:
        screen = await open_compare(ui, seed="5", lock="locked")
        await ui.press("f4")
        await ui.sees("kept one checkpoint", "enter: compare these")
        await ui.press("down", "down", "space", "enter")
        await ui.sees("2 columns")
        screen.query_one("#prompt-1").value = "a photo of a toy"
        await ui.press("enter")
        pictures = await finish(ui, 4)
        made = [recipe(picture) for picture in pictures]
        assert [(one.prompt, one.model) for one in made] == [
            ("a photo of sks toy", "mini"), ("a photo of sks toy", "bear step 1"),
            ("a photo of a toy", "mini"), ("a photo of a toy", "bear step 1"),
        ]  # fmt: skip
        assert {(one.seed, one.width) for one in made} == {(5, 64)}, "the same noise"
        assert len({picture.read_bytes() for picture in pictures}) == 4
        await ui.sees("mini, untaught", "step 1", "a photo of sks toy", "a photo of a toy", "seed 5 \u00b7 2 steps")
        await ui.press("escape", "down", "right", "enter")
        await ui.until(lambda: isinstance(ui.app.screen, PhotoDialog))
        assert ui.app.screen._path == pictures[3]
        await ui.press("escape", "s")
        await ui.sees("Save as", "bear-table.png")
        await ui.press("enter")
        await ui.until(lambda: (tmp_path / "bear-table.png").exists())

    drive(script, (100, 40))
    with (
        Image.open(tmp_path / "bear-table.png") as table,
        Image.open(next(paths.pictures_dir().rglob("2-2/000.png"))) as cell,
    ):
        assert table.width > 2 * 64 + 90 and table.height > 2 * 64
        corner = (table.width - 4 - 64, table.height - 4 - 64, table.width - 4, table.height - 4)
        assert table.crop(corner).tobytes() == cell.convert("RGB").tobytes()
        heads = table.crop((0, 0, table.width, table.height - 2 * 68)).convert("L")
        assert heads.getextrema()[0] < 100, "there are headings"


def test_a_table_is_cancelled_and_what_is_finished_stays(drive: Callable[..., None], bear: Studio) -> None:
    async def script(ui: Any) -> None:
        screen = await open_compare(ui, steps="60")
        table = screen.query_one(PictureTable)
        await ui.press("enter")
        await ui.sees("/180 steps")
        await ui.until(lambda: table.cells and table.cells[0].path is not None)
        pid = bear.pid
        await ui.press("escape")
        await ui.sees("Cancelled. 1 finished picture kept.")
        assert screen.job is None and [cell.path is None for cell in table.cells] == [False, True, True]
        screen.query_one(DrawForm).editor("steps").value = "1"
        await ui.press("f5")
        await finish(ui, 3)
        assert bear.pid == pid
        await ui.press("escape", "escape")
        await ui.sees("1 concept")

    drive(script)


def test_no_column_or_too_many_are_refused_and_no_prompt_is_said(drive: Callable[..., None], bear: Studio) -> None:
    async def script(ui: Any) -> None:
        screen = await open_compare(ui)
        await ui.press("f4", "space", "down", "space", "down", "space", "enter")
        await ui.sees("Choose at least one")
        await ui.press("escape")
        await ui.sees("3 columns")
        screen.query_one("#prompt-0").value = ""
        await ui.press("enter")
        await ui.sees("There is no prompt")
        assert screen.job is None

    drive(script)
