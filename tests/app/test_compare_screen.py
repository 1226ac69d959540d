"""Comparing weights: a table of real pictures, cell by cell."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from dbtui.app.messages import OpenCompare
from dbtui.app.screens.compare import CompareScreen
from dbtui.app.screens.photo import PhotoDialog
from dbtui.app.studio import Studio
from dbtui.app.widgets.draw_form import DrawForm
from dbtui.app.widgets.picture_grid import PictureTable
from dbtui.core import paths
from dbtui.core.grid import Recipe
from dbtui.core.library import find_concept
from dbtui.core.prompts import Asked, read_prompts, remember_prompts


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
        screen.query_one("#negative").value = "blue"
        screen.query_one(DrawForm).editor("scheduler").value = "euler"
        await ui.press("enter")
        pictures = await finish(ui, 4)
        made = [recipe(picture) for picture in pictures]
        assert [(one.prompt, one.model) for one in made] == [
            ("a photo of sks toy", "mini"), ("a photo of sks toy", "bear step 1"),
            ("a photo of a toy", "mini"), ("a photo of a toy", "bear step 1"),
        ]  # fmt: skip
        assert {(one.seed, one.width) for one in made} == {(5, 64)}, "the same noise"
        assert {(one.negative, one.scheduler, one.steps) for one in made} == {("blue", "euler", 2)}
        assert read_prompts()[0] == [Asked("a photo of sks toy", "blue"), Asked("a photo of a toy", "blue")]
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
        left, picture = table.width - 4 - 64, cell.convert("RGB").tobytes()
        found = [y for y in range(table.height) if table.crop((left, y, left + 64, y + 64)).tobytes() == picture]
        assert len(found) == 1 and found[0] > 64
        assert table.crop((0, found[0] + 68, table.width, table.height)).convert("L").getextrema()[0] < 100, "a note"
        words = table.info["parameters"].splitlines()
        assert words[:2] == ["a photo of sks toy", "a photo of a toy"]
        assert words[3] == "seed 5 \u00b7 2 steps \u00b7 guidance 7.5 \u00b7 euler \u00b7 without blue"
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


def test_a_prompt_brings_what_was_not_wanted_with_it_unless_others_stand_beside_it(
    drive: Callable[..., None], bear: Studio
) -> None:
    remember_prompts([Asked("a red bear", "blue"), Asked("a bear", ""), Asked("a green bear", "grey")])

    async def script(ui: Any) -> None:
        screen = await open_compare(ui)
        first, second, negative = (screen.query_one(name) for name in ("#prompt-0", "#prompt-1", "#negative"))
        await ui.until(lambda: len(screen.history) == 3)
        negative.value = "mine"
        await ui.press("up")
        assert (first.value, negative.value) == ("a green bear", "grey")
        await ui.press("up", "up", "up")
        assert (first.value, negative.value) == ("a red bear", "blue")
        await ui.press("down", "down", "down", "down")
        assert (first.value, negative.value) == ("a photo of sks toy", "mine")
        await ui.press("tab", "up", "up")
        assert (second.value, negative.value) == ("a bear", "mine"), "it is of both"
        await ui.press("down", "down")
        assert (first.value, second.value) == ("a photo of sks toy", "")
        negative.focus()
        await ui.press("up", "up")
        assert negative.value == "blue", "only what was said"
        await ui.press("down", "down")
        assert (first.value, negative.value) == ("a photo of sks toy", "mine")

    drive(script)


def test_concepts_are_compared_and_a_column_that_has_gone_is_told_while_the_others_are_drawn(
    drive: Callable[..., None], cub: Path
) -> None:
    async def script(ui: Any) -> None:
        ui.app.drawing_settings = {"steps": "1"}
        await ui.sees("bear", "cub")
        ui.app.screen.post_message(OpenCompare(find_concept("bear")))
        await ui.until(lambda: isinstance(ui.app.screen, CompareScreen))
        screen = ui.app.screen
        await ui.sees("mini, untaught \u00b7 step 1 \u00b7 taught, 2 steps")
        await ui.press("f4")
        await ui.sees("cub, taught")
        await ui.press("space", "down", "space", "down", "down", "space", "enter")  # bear and cub
        await ui.sees("taught, 2 steps \u00b7 cub, taught")
        await ui.press("enter")
        pictures = await finish(ui, 2)
        assert [recipe(picture).model for picture in pictures] == ["bear", "cub"]

        toml = cub / "concept.toml"
        toml.write_text(toml.read_text().replace('base = "mini"', 'base = "/gone/model"'))
        checkpoint = Path(screen._columns.sources["bear step 1"].checkpoint)
        checkpoint.rename(checkpoint.with_name("away"))
        try:
            screen._columns.chosen = ["mini", "bear step 1", "bear", "cub"]
            await ui.press("f5")
            await ui.sees(
                "2 columns could not be drawn", "step 1: The checkpoint of step 1 cannot be used", "cub, taught: "
            )
        finally:
            checkpoint.with_name("away").rename(checkpoint)
        text = " ".join(re.sub(r"[^ -~]", " ", ui.text).split())
        assert "/gone/model" in text and "2 finished pictures kept" in text
        await ui.press("escape")
        assert [cell.path is not None for cell in screen.query_one(PictureTable).cells] == [True, False, True, False]
        await ui.press("escape", "end")
        await ui.sees("cub, taught", "/gone/model")
        shutil.rmtree(cub)
        screen._columns.chosen = ["cub"]
        await ui.press("f5")
        await ui.sees("1 column could not be drawn", "cub")
        await ui.press("escape", "escape", "escape")
        await ui.sees("1 concept")

    drive(script, (120, 36))


def test_a_sampler_that_dies_ends_the_table_and_keeps_what_was_finished(
    drive: Callable[..., None], bear: Studio
) -> None:
    async def script(ui: Any) -> None:
        screen = await open_compare(ui, steps="60")
        table = screen.query_one(PictureTable)
        await ui.press("enter")
        await ui.until(lambda: screen.parts == (1, 3) and screen.begun)
        assert bear.pid is not None
        os.kill(bear.pid, signal.SIGKILL)
        await ui.sees("1 column could not be drawn", "The sampler died", "1 finished picture kept")
        assert screen.job is None and [cell.path is None for cell in table.cells] == [False, True, True]
        await ui.press("escape")
        screen.query_one(DrawForm).editor("steps").value = "1"
        await ui.press("f5")
        await finish(ui, 3)

    drive(script)
