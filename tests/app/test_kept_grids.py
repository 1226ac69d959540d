"""What was drawn with a concept stays at hand: paged through, looked at, saved, and taken up again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from dbtui.app.screens.photo import PhotoDialog
from dbtui.app.studio import Studio
from dbtui.app.widgets.draw_form import DrawForm
from dbtui.app.widgets.picture_grid import PictureGrid
from dbtui.core import paths
from dbtui.core.gallery import grid_folders, read_grid
from dbtui.core.grid import Recipe, save_png
from tests.app.prompting import finish, lines, open_prompt, recipes, value


def test_earlier_grids_are_paged_through_and_their_settings_reused(drive: Callable[..., None], bear: Studio) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui, columns="1")
        screen.query_one("#weights").value = "bear step 1"
        screen.query_one("#negative").value = "blue"
        await ui.press("enter")
        await finish(ui, 1)
        screen.query_one("#weights").value = "mini"
        screen.query_one("#negative").value = ""
        screen.query_one(DrawForm).editor("steps").value = "1"
        await ui.press("enter")
        await finish(ui, 2)
        await ui.sees("[ 2 of 2 ]", "1 step ", " mini")
        await ui.press("escape", "left_square_bracket")
        await ui.sees("[ 1 of 2 ]", "2 steps", "bear step 1 \u00b7 without blue")
        await ui.press("left_square_bracket", "r")
        assert screen.query_one("#prompt").has_focus and lines(screen)[1] == "blue"
        assert [value(screen, name) for name in ("steps", "lock", "weights")] == ["2", "locked", "bear step 1"]
        await ui.press("enter")
        await finish(ui, 3)
        await ui.press("escape", "left_square_bracket", "right_square_bracket", "right_square_bracket")
        await ui.sees("[ 3 of 3 ]")

    drive(script, (120, 36))
    assert recipes("bear", 0) == recipes("bear", 2) != recipes("bear", 1)
    step, plain, again = (file.read_bytes() for folder in grid_folders("bear") for file in read_grid(folder).pictures)
    assert step == again != plain


def test_a_picture_is_looked_at_saved_and_its_path_copied(
    drive: Callable[..., None], bear: Studio, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "diary.png").write_text("mine")

    async def save_as(ui: Any, text: str) -> None:
        await ui.press("s")
        await ui.sees("Save as")
        ui.app.screen.query_one("Input").value = text
        await ui.press("enter")

    async def script(ui: Any) -> None:
        screen = await open_prompt(ui)
        await ui.press("enter")
        await finish(ui, 1)
        await ui.press("escape", "right", "enter")
        await ui.until(lambda: isinstance(ui.app.screen, PhotoDialog))
        first, second = (f"seed {cell.words}" for cell in screen.query_one(PictureGrid).cells[:2])
        await ui.sees(second)
        await ui.press("left_square_bracket")
        await ui.sees(first)
        await ui.press("right_square_bracket", "right_square_bracket", "right_square_bracket")
        await ui.sees(second)
        await ui.press("escape", "c")
        assert ui.app.clipboard == str(screen.query_one(PictureGrid).cells[1].path)
        await save_as(ui, "~/diary")
        await ui.sees("Replace it?")
        await ui.press("enter")
        assert (tmp_path / "diary.png").read_text() == "mine"
        for path in ("~/nowhere/bear.png", "~/nowhere/"):
            await save_as(ui, path)
            await ui.sees("is not there")
            await ui.press("escape")
        await save_as(ui, "~/bear")
        await ui.sees("Saved as")
        await ui.press("g")
        await ui.sees("Save as", "bear-grid.png")
        await ui.press("enter")
        await ui.until(lambda: (tmp_path / "bear-grid.png").exists())

    drive(script)
    assert (tmp_path / "bear.png").read_bytes() == read_grid(grid_folders("bear")[0]).pictures[1].read_bytes()
    with Image.open(tmp_path / "bear-grid.png") as grid:
        assert grid.size == (132, 64)


def test_kept_grids_are_paged_through_while_one_is_drawn(drive: Callable[..., None], bear: Studio) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui, columns="1")
        for count in (1, 2):
            await ui.press("enter")
            await finish(ui, count)
        steps = screen.query_one(DrawForm).editor("steps")
        steps.value = "1000"
        await ui.press("enter")
        await ui.sees("/1,000 steps")
        screen.query_one(PictureGrid).focus()
        await ui.press("left_square_bracket")
        await ui.sees("[ 2 of 2 ]", "/1,000 steps")
        await ui.press("left_square_bracket", "left_square_bracket")
        await ui.sees("[ 1 of 2 ]")
        await ui.press("right_square_bracket", "right_square_bracket")
        await ui.until(lambda: screen._place is None and screen.query_one(PictureGrid).cells is screen._job_cells)
        await ui.press("left_square_bracket", "left_square_bracket", "escape")
        await ui.sees("Cancelled")
        assert screen._place == 0, "what was looked at stays"
        steps.value = "300"
        await ui.press("f5")
        await ui.sees("/300 steps")
        await ui.press("left_square_bracket")
        await ui.until(lambda: screen.job is None)
        await ui.until(lambda: any("] shows it" in told.message for told in ui.app._notifications))
        await ui.until(lambda: len(screen._folders) == 3 and screen._place == 1)
        await ui.press("right_square_bracket")
        await ui.sees("[ 3 of 3 ]", "300 steps")

    drive(script)


def test_settings_are_taken_up_from_a_picture_of_what_has_gone(drive: Callable[..., None], bear: Studio) -> None:
    folder = paths.make_private(paths.pictures_dir() / "bear" / "20250615-150000")
    made = Recipe(
        prompt="two\nlines \x1b[31m", negative="none\nof it", steps=7, guidance=3.5, scheduler="ddim", seed=9, width=64,
        height=64, model="[/a] cub",
    )  # fmt: skip
    save_png(Image.new("RGB", (64, 64), "red"), folder / "000.png", made.parameters())

    async def script(ui: Any) -> None:
        screen = await open_prompt(ui)
        await ui.sees("[/a] cub")
        await ui.press("escape", "r")
        assert lines(screen) == ["two lines \\x1b[31m", "none of it"]
        assert [value(screen, name) for name in ("steps", "guidance", "scheduler", "seed", "lock", "weights")] == [
            "7", "3.5", "ddim", "9", "locked", "bear"
        ]  # fmt: skip
        await ui.until(lambda: "is no longer there." in " ".join(ui.text.replace("\u258c", " ").split()))

    drive(script, (120, 36))


def test_more_pictures_than_there_is_room_for_are_counted(drive: Callable[..., None], bear: Studio) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui, rows="6", columns="3", steps="1")
        await ui.press("enter")
        await ui.sees("pictures 1-10 of 18")
        await finish(ui, 1)
        await ui.press("escape", "end")
        await ui.sees("-18 of 18")
        assert len(screen.query_one(PictureGrid).cells) == 18

    drive(script)
