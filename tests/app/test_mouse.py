"""Without the keyboard: rows, keys of the bar, buttons and pictures are clicked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from textual.widgets import Button, DataTable

from dbtui.app.dialogs import ConfirmDialog, PromptDialog, TextDialog
from dbtui.app.screens.library import LibraryScreen
from dbtui.app.screens.photo import PhotoDialog
from dbtui.app.screens.pictures import PicturesScreen
from dbtui.app.screens.prompt import PromptScreen
from dbtui.app.widgets.folder_tree import FolderTree
from dbtui.app.widgets.key_bar import KeyBar
from dbtui.app.widgets.path_input import PathInput
from dbtui.app.widgets.photo_grid import PhotoGrid
from dbtui.app.widgets.tile_grid import Tile


async def click_key(ui: Any, label: str) -> None:
    """The word in the bottom line of what is on top."""
    bar = ui.app.screen.query_one(KeyBar)
    await ui.until(lambda: f" {label} " in bar.render().plain)
    await ui.pilot.click(bar, offset=(bar.render().plain.index(f" {label} ") + 2, 0))


async def on(ui: Any, screen: type) -> None:
    await ui.until(lambda: isinstance(ui.app.screen, screen))


def test_rows_keys_and_buttons_of_the_library(drive: Callable[..., None], concept: Any) -> None:
    concept("mug")
    concept("cup", created=1.0)

    async def script(ui: Any) -> None:
        await ui.sees("mug", "cup")
        table = ui.app.screen.query_one(DataTable)
        await ui.pilot.click(table, offset=(3, 2))
        await ui.until(lambda: ui.app.screen.current.name == "cup")
        await click_key(ui, "Rename")
        await on(ui, PromptDialog)
        await click_key(ui, "Cancel")
        await on(ui, LibraryScreen)
        await click_key(ui, "Delete")
        await on(ui, ConfirmDialog)
        await ui.sees("would go for good", "No")
        await ui.pilot.click(ui.app.screen.query(Button).first())
        await on(ui, LibraryScreen)
        await click_key(ui, "All keys")
        await on(ui, TextDialog)
        await click_key(ui, "Close")
        await on(ui, LibraryScreen)
        await ui.pilot.click(table, offset=(3, 2))
        await on(ui, PromptScreen)
        await click_key(ui, "Back")
        await on(ui, LibraryScreen)

    drive(script, (120, 36))


def test_keys_of_a_line_act_on_the_line_and_photos_open(drive: Callable[..., None], concept: Any, photos: Path) -> None:
    concept("mug")
    for name in ("a", "b"):
        Image.new("RGB", (90, 90), "orange").save(photos / f"{name}.png")

    async def script(ui: Any) -> None:
        await ui.sees("mug")
        ui.app.draft.use_folder(photos)
        await click_key(ui, "New")
        await on(ui, PicturesScreen)
        await ui.sees("photos, all usable")
        await click_key(ui, "Path")
        await ui.until(lambda: isinstance(ui.app.focused, PathInput))
        await click_key(ui, "Back")
        await ui.until(lambda: isinstance(ui.app.focused, FolderTree))
        tile = list(ui.app.screen.query_one(PhotoGrid).query_children(Tile))[1]
        await ui.pilot.click(tile)
        await ui.until(lambda: ui.app.screen.query_one(PhotoGrid).cursor == 1)
        await ui.pilot.click(tile, times=2)
        await on(ui, PhotoDialog)
        await click_key(ui, "Close")
        await on(ui, PicturesScreen)

    drive(script, (120, 36))
