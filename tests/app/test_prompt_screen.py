"""Prompting a concept: real pictures from one warm sampler process, and what is kept of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from dbtui.app.messages import OpenPrompt
from dbtui.app.screens.photo import PhotoDialog
from dbtui.app.screens.prompt import PromptScreen
from dbtui.app.studio import Studio
from dbtui.app.widgets.draw_form import DrawForm
from dbtui.app.widgets.picture_grid import PictureGrid
from dbtui.app.widgets.prompt_line import PromptLine
from dbtui.core.gallery import grid_folders, read_grid
from dbtui.core.grid import Recipe
from dbtui.core.prompts import prompts_file

SMALL = {"rows": "1", "columns": "2", "steps": "2"}


async def open_prompt(ui: Any, **settings: str) -> PromptScreen:
    """The screen of ``bear``."""
    ui.app.drawing_settings = {**SMALL, **settings}
    await ui.sees("bear", "\u2713 done")
    await ui.press("enter")
    await ui.until(lambda: isinstance(ui.app.screen, PromptScreen))
    screen: PromptScreen = ui.app.screen
    await ui.sees("Prompt", "untaught" if screen._concept is None else "64 px")
    return screen


async def finish(ui: Any, count: int) -> None:
    """Until the job is over, and there are so many grids."""
    await ui.until(lambda: ui.app.screen.job is None and ui.app.screen._grid is not None)
    await ui.until(lambda: len(ui.app.screen._folders) == count)
    assert len(grid_folders(ui.app.screen._subject)) == count


def value(screen: PromptScreen, name: str) -> str:
    return screen.query_one(DrawForm).editor(name).value


def lines(screen: PromptScreen) -> list[str]:
    return [line.value for line in screen.query(PromptLine)]


def recipes(name: str, place: int = -1) -> list[Recipe]:
    """Of the pictures of a kept grid."""
    found = read_grid(grid_folders(name)[place])
    assert all(found.recipes)
    return list(found.recipes)  # type: ignore[arg-type]


def test_a_prompt_becomes_a_grid_and_a_locked_seed_draws_it_again(drive: Callable[..., None], bear: Studio) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui)
        assert lines(screen) == ["a photo of sks toy", ""]
        await ui.sees("Write a prompt")
        looks = []
        screen.forming = lambda message, show=screen.forming: (looks.append(message), show(message))  # type: ignore[method-assign]
        await ui.press("enter")
        await finish(ui, 1)
        assert looks and all(len(look.pictures) == 2 and look.pictures[0].size[0] > 1 for look in looks)
        first = [cell.path.read_bytes() for cell in screen.query_one(PictureGrid).cells]
        seed = value(screen, "seed")
        await ui.sees(f"seed {seed} \u00b7 2 steps", str(int(seed) + 1))
        await ui.press("enter")
        await finish(ui, 2)
        assert value(screen, "seed") != seed, "each time another one"
        screen.query_one(DrawForm).editor("seed").value = seed
        await ui.pilot.pause()
        assert value(screen, "lock") == "locked", "who types a seed means it"
        await ui.press("enter")
        await finish(ui, 3)
        assert [cell.path.read_bytes() for cell in screen.query_one(PictureGrid).cells] == first
        assert value(screen, "seed") == seed
        await ui.press("escape", "l")
        assert value(screen, "lock") == "random"
        await ui.press("right")
        await ui.sees(f"seed {int(seed) + 1} ")

    drive(script, (100, 30))


def test_a_cancelled_prompt_ends_at_once_and_the_model_stays_warm(drive: Callable[..., None], bear: Studio) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui, steps="900")
        await ui.press("enter")
        await ui.sees("drawing", "/1,800 steps", "esc cancels")
        pid = bear.pid
        await ui.press("escape")
        assert screen.job is None and ui.app.screen is screen
        await ui.sees("Cancelled. Nothing was kept.", "Write a prompt")
        screen.query_one(DrawForm).editor("steps").value = "2"
        await ui.press("enter")
        await finish(ui, 1)
        assert bear.pid == pid and psutil.pid_exists(pid)
        await ui.press("escape", "escape")
        await ui.sees("1 concept")

    drive(script)


def test_a_sampler_that_dies_says_so_and_the_next_prompt_starts_another(
    drive: Callable[..., None], bear: Studio
) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui, steps="900")
        await ui.press("enter")
        await ui.sees("/1,800 steps")
        assert bear.pid is not None
        os.kill(bear.pid, signal.SIGKILL)
        await ui.sees("The sampler died", "ended with code -9")
        await ui.press("escape")
        screen.query_one(DrawForm).editor("steps").value = "2"
        await ui.press("enter")
        await finish(ui, 1)

    drive(script)


def test_prompts_are_remembered_and_turned_over(drive: Callable[..., None], bear: Studio) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui, columns="1")
        prompt, negative = screen.query(PromptLine)
        prompt.value, negative.value = "\u305d\u306e\u304f\u307e", "red"
        await ui.press("enter")
        await finish(ui, 1)
        prompt.value, negative.value = "two", ""
        await ui.press("enter")
        await finish(ui, 2)
        await ui.until(lambda: len(screen.history) == 2)
        prompt.value = "not yet drawn"
        await ui.press("up", "up", "up")
        assert lines(screen) == ["\u305d\u306e\u304f\u307e", "red"]
        await ui.press("down", "down")
        assert lines(screen)[0] == "not yet drawn"
        assert recipes("bear", 0)[0].prompt == "\u305d\u306e\u304f\u307e", "a picture says it in its own script"

    drive(script)

    prompts_file().write_text("{damaged")

    async def damaged(ui: Any) -> None:
        screen = await open_prompt(ui, columns="1")
        await ui.sees("Earlier prompts cannot be read")
        await ui.press("enter")
        await finish(ui, 3)
        await ui.until(lambda: len(screen.history) == 1)

    drive(damaged)
    assert prompts_file().with_suffix(".damaged.json").read_text() == "{damaged"


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
        await ui.press("escape", "c")
        assert ui.app.clipboard == str(screen.query_one(PictureGrid).cells[1].path)
        await save_as(ui, "~/diary")
        await ui.sees("Replace it?")
        await ui.press("enter")
        assert (tmp_path / "diary.png").read_text() == "mine"
        await save_as(ui, "~/nowhere/bear.png")
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


def test_what_cannot_be_drawn_is_said_and_a_long_prompt_is_drawn(drive: Callable[..., None], bear: Studio) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui, columns="1", steps="none")
        await ui.press("enter")
        await ui.sees("Steps cannot be 'none'", "1 to 1,000")
        assert value(screen, "steps") == "none" and screen.query_one(DrawForm).editor("steps").has_focus
        screen.query_one(DrawForm).editor("steps").value = "1"
        prompt = screen.query_one("#prompt", PromptLine)
        prompt.value = " "
        await ui.press("f5")
        await ui.sees("The prompt is empty")
        prompt.value = "a photo of sks toy " * 530
        assert len(prompt.value) > 10_000
        await ui.press("enter")
        await ui.until(lambda: any("the prompt: 30 of its" in said.message for said in ui.app._notifications))
        await finish(ui, 1)
        assert recipes("bear")[0].prompt == prompt.value.strip()

    drive(script)


def test_the_embedded_model_is_prompted_as_it_is_and_the_app_ends_its_sampler(
    drive: Callable[..., None], taught_home: Path, bear: Studio, monkeypatch: Any
) -> None:
    studio = Studio()
    monkeypatch.setattr("dbtui.app.app.Studio", lambda: studio)
    pids = []

    async def script(ui: Any) -> None:
        ui.app.drawing_settings = SMALL
        await ui.sees("bear")
        ui.app.screen.post_message(OpenPrompt(None))
        await ui.until(lambda: isinstance(ui.app.screen, PromptScreen))
        ui.app.screen.query_one("#prompt").value = "a photo of a toy"
        await ui.press("enter")
        await finish(ui, 1)
        pids.append(studio.pid)

    drive(script)
    assert recipes("mini")[0].model == "mini" and pids[0] is not None
    assert not psutil.pid_exists(pids[0])
