"""The table of keys: nothing in it is double, dead or undocumented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dbtui.app.app import DbtuiApp
from dbtui.app.keys import KEYS
from dbtui.app.messages import OpenCompare, OpenNew, OpenParameters, OpenPrompt, OpenRun
from dbtui.app.screens.compare import CompareScreen
from dbtui.app.screens.dashboard import DashboardScreen
from dbtui.app.screens.library import LibraryScreen
from dbtui.app.screens.parameters import ParametersScreen
from dbtui.app.screens.pictures import PicturesScreen
from dbtui.app.screens.prompt import PromptScreen
from dbtui.app.widgets.key_bar import KeyBar
from dbtui.core.events import Started

SCREENS = {
    "library": LibraryScreen,
    "dashboard": DashboardScreen,
    "pictures": PicturesScreen,
    "parameters": ParametersScreen,
    "prompt": PromptScreen,
    "compare": CompareScreen,
}


@pytest.mark.parametrize("table", KEYS)
def test_no_key_means_two_things(table: str) -> None:
    keys = [name for key in KEYS[table] for name in key.keys.split(",")]
    assert len(keys) == len(set(keys))
    everywhere = {name for key in KEYS["app"] for name in key.keys.split(",")}
    assert table == "app" or not everywhere & set(keys)


@pytest.mark.parametrize("table", SCREENS)
def test_every_action_is_there_and_every_screen_can_be_left_and_explained(table: str) -> None:
    actions = {key.action for key in KEYS[table]}
    for action in actions:
        owner = DbtuiApp if action.startswith("app.") else SCREENS[table]
        assert hasattr(owner, f"action_{action.removeprefix('app.').split('(')[0]}"), action
    assert "app.show_help" in actions and actions & {"leave", "app.quit"}


def test_help_has_every_key_of_the_screen(drive: Callable[..., None], concept: Any, run_with: Any) -> None:
    mug = concept("mug")
    run = run_with([Started(pid=1, steps=5)])
    openings = {
        "library": OpenRun(run), "dashboard": OpenNew(), "pictures": OpenParameters(), "parameters": OpenPrompt(mug),
        "prompt": OpenCompare(mug),
    }  # fmt: skip

    async def script(ui: Any) -> None:
        await ui.sees("mug")
        for table in SCREENS:
            await ui.until(lambda table=table: table == ui.app.screen.KEYS)
            await ui.press("f1")
            for key in (*KEYS[table], *KEYS["app"]):
                assert key.help in ui.text and key.face in ui.text
            await ui.press("escape")
            if table in openings:
                ui.app.screen.post_message(openings[table])

    drive(script, (120, 60))


def test_a_line_of_the_help_fits_the_smallest_window() -> None:
    assert all(len(key.help) <= 63 and len(key.face) <= 5 for keys in KEYS.values() for key in keys)


def test_the_key_bar_always_fits_and_always_has_help_and_the_way_out(
    drive: Callable[..., None], run_with: Any, steps: Any, concept: Any
) -> None:
    run = run_with([Started(pid=1, steps=500), *steps(1, 9)])
    lock = run.claim()
    mug = concept("mug")

    async def script(ui: Any) -> None:
        await ui.sees("rex")
        for opening in (OpenRun(run), OpenNew(), OpenParameters(), OpenPrompt(mug), OpenCompare(mug), None):
            bar = ui.app.screen.query_one(KeyBar)
            for width in (80, 100, 200):
                await ui.pilot.resize_terminal(width, 24)
                words = bar.render().plain
                assert (
                    len(words) <= width
                    and words.rstrip().endswith("All keys")
                    and ("Leave" in words or "Back" in words)
                )
            if opening is not None:
                before = ui.app.screen
                before.post_message(opening)
                await ui.until(lambda before=before: ui.app.screen is not before)

    drive(script)
    lock.close()


def test_the_palette_offers_what_the_screen_can_do(drive: Callable[..., None], concept: Any) -> None:
    concept("mug")

    async def script(ui: Any) -> None:
        await ui.sees("mug")
        names = [command.title for command in ui.app.get_system_commands(ui.app.screen)]
        assert "Theme" in names and "Rename  (r)" in names and "Stop  (s)" not in names
        assert {f"{key.label}  ({key.face})" for key in KEYS["app"][1:]} <= set(names), "what works everywhere, too"
        await ui.press("ctrl+p", *"rename", "enter")
        await ui.sees("Rename mug")
        await ui.press("escape", "ctrl+p", *"pictures", "enter")
        await ui.until(lambda: ui.app.settings.images != "auto")

    drive(script)
