"""Prompting a concept: real pictures from one warm sampler process, and what is kept of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from dbtui.app.messages import OpenPrompt
from dbtui.app.screens.compare import CompareScreen
from dbtui.app.screens.prompt import PromptScreen
from dbtui.app.studio import Studio
from dbtui.app.widgets.draw_form import DrawForm
from dbtui.app.widgets.picture_grid import PictureGrid
from dbtui.app.widgets.prompt_line import PromptLine
from dbtui.core.events import Phase
from dbtui.core.gallery import grid_folders
from dbtui.core.library import find_concept
from dbtui.core.prompts import prompts_file
from tests.app.prompting import SMALL, finish, lines, open_prompt, recipes, value


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


PHASES: dict[str, tuple[Callable[[Phase], bool], bool]] = {
    "loading": (lambda phase: phase.total == 0, False),
    "the first step": (lambda phase: phase.done == 1, False),
    "decoding": (lambda phase: 0 < phase.done == phase.total, True),
}
"""What is waited for before the drawing is cancelled, and whether its pictures are finished all the same."""


@pytest.mark.parametrize("phase", PHASES)
def test_a_drawing_is_cancelled_in_every_phase(phase: str, drive: Callable[..., None], bear: Studio) -> None:
    begun, finished = PHASES[phase]

    async def script(ui: Any) -> None:
        bear.rest()  # so that there is a model to load
        screen = await open_prompt(ui, columns="1", steps="3")
        reported = screen.say_work

        def cancel(phase: Phase) -> None:
            reported(phase)
            if phase.name != "starting" and screen.job and begun(phase):
                screen.action_leave()

        screen.say_work = cancel  # type: ignore[method-assign]
        await ui.press("enter")
        await ui.until(lambda: any("Cancelled" in told.message for told in ui.app._notifications))
        assert screen.job is None
        screen.say_work = reported  # type: ignore[method-assign]
        if finished:
            await ui.until(lambda: any("1 picture had been finished" in n.message for n in ui.app._notifications))
            await ui.until(lambda: len(screen._folders) == 1 and screen.query_one(PictureGrid).count == 1)
        await ui.press("enter")
        await finish(ui, 1 + finished)

    drive(script)


def test_a_drawing_that_has_not_begun_is_cancelled(drive: Callable[..., None], bear: Studio) -> None:
    async def script(ui: Any) -> None:
        bear.rest()
        screen = await open_prompt(ui, columns="1")
        await ui.pilot.press("enter", "escape")
        await ui.sees("Cancelled. Nothing was kept.")
        assert screen.job is None and not grid_folders("bear")
        await ui.press("enter")
        await finish(ui, 1)

    drive(script)


def test_a_comparison_above_it_leaves_a_drawing_alone(drive: Callable[..., None], bear: Studio) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui, columns="1", steps="60")
        await ui.press("enter")
        await ui.sees("/60 steps")
        screen.query_one(PictureGrid).focus()
        await ui.press("m")
        await ui.until(lambda: isinstance(ui.app.screen, CompareScreen))
        await ui.press("enter")
        await ui.until(lambda: ui.app.screen.job is not None)
        await ui.press("escape")
        await ui.until(lambda: ui.app.screen.job is None)
        ui.app.screen.dismiss("")
        await ui.until(lambda: ui.app.screen is screen)
        await finish(ui, 1)
        assert recipes("bear")[0].steps == 60

    drive(script)


def test_a_concept_that_is_deleted_meanwhile_is_told(drive: Callable[..., None], cub: Path) -> None:
    async def script(ui: Any) -> None:
        ui.app.drawing_settings = SMALL
        await ui.sees("bear", "cub")
        ui.app.screen.post_message(OpenPrompt(find_concept("cub")))
        await ui.until(lambda: isinstance(ui.app.screen, PromptScreen))
        await ui.press("enter")
        await finish(ui, 1)
        subprocess.run([sys.executable, "-m", "dbtui", "rm", "cub", "--yes"], check=True, capture_output=True)
        await ui.press("enter")
        await ui.sees("There is no concept 'cub'")
        await ui.press("escape")
        await ui.until(lambda: ui.app.screen.picture() is not None)  # what was drawn is still looked at
        await ui.press("escape", "escape")
        await ui.sees("1 concept")

    drive(script)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows", "0"),
        ("rows", "7"),
        ("columns", "9"),
        ("steps", "0"),
        ("guidance", "hot"),
        ("seed", "-1"),
        ("seed", "9" * 30),
    ],
)
def test_a_number_out_of_bounds_is_told_where_it_was_typed(
    name: str, text: str, drive: Callable[..., None], bear: Studio
) -> None:
    async def script(ui: Any) -> None:
        screen = await open_prompt(ui)
        editor = screen.query_one(DrawForm).editor(name)
        editor.value = text
        await ui.pilot.pause()
        await ui.press("f5")
        await ui.sees(f"{name.capitalize()} cannot be")
        assert editor.has_focus and editor.has_class("-bad") and screen.job is None and not grid_folders("bear")

    drive(script)
