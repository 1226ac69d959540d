"""The screen of a concept, and what is kept of what was drawn there."""

from __future__ import annotations

from typing import Any

from dbtui.app.screens.prompt import PromptScreen
from dbtui.app.widgets.draw_form import DrawForm
from dbtui.app.widgets.prompt_line import PromptLine
from dbtui.core.gallery import grid_folders, read_grid
from dbtui.core.grid import Recipe

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
