"""One picture of several over the whole window, to look at closely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from PIL import Image
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static

from dbtui.app.keys import bindings
from dbtui.app.widgets.key_bar import KeyBar
from dbtui.app.zoom import MOST, ZoomView
from dbtui.core.dataset import UnusableError, open_picture
from dbtui.core.errors import printable, printable_line

Turn = Callable[[int], tuple[Path, str] | None]
"""Goes so many pictures further, and tells the path and the heading of the one that is there, if there is one."""


class PhotoDialog(ModalScreen[None]):
    """Reads the photo in a worker thread, and shows it or why it cannot be."""

    KEYS: ClassVar[str] = "photo"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("photo")]

    @dataclass
    class Opened(Message):
        """The photo, or why there is none."""

        path: Path
        image: Image.Image | None
        reason: str = ""

    def __init__(self, path: Path, heading: str = "", turn: Turn | None = None) -> None:
        """``heading`` is in place of the file's name."""
        super().__init__()
        self._path, self._heading, self._turn = path, heading, turn

    def compose(self) -> ComposeResult:
        with Vertical(id="large") as frame:
            frame.border_subtitle = "esc: close"
            yield Static("Reading the photo \u2026", id="large-words")
        yield KeyBar()

    def on_mount(self) -> None:
        self._read()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "turn" or self._turn is not None

    def action_turn(self, count: int) -> None:
        found = self._turn(count) if self._turn is not None else None
        if found is not None and found[0] != self._path:
            self._path, self._heading = found
            self._read()

    def _read(self) -> None:
        """Show the photo's name at once, and the photo when it has been read; the one before it stays until then."""
        heading = printable_line(self._heading or self._path.name)
        self.query_one("#large").border_title = Content(heading)
        self.run_worker(partial(self._open, self._path), thread=True, exit_on_error=False, group="photo")

    def _open(self, path: Path) -> None:
        try:
            self.post_message(self.Opened(path, open_picture(path, MOST)))
        except UnusableError as error:
            self.post_message(self.Opened(path, None, str(error)))

    @on(Opened)
    async def _show_photo(self, message: Opened) -> None:
        if message.path != self._path:
            return  # it has been turned since
        frame, words, view = self.query_one("#large"), self.query_one("#large-words", Static), self.query(ZoomView)
        words.display = message.image is None
        if message.image is None:
            words.update(Content(f"This cannot be shown: {printable(message.reason)}."))
            frame.border_subtitle = "esc: close"
            await view.remove()
            return
        frame.border_subtitle = "+ -: zoom \u00b7 arrows: move \u00b7 0: whole \u00b7 esc: close"
        if view:
            view.first().show_picture(message.image)
        else:
            await frame.mount(ZoomView(message.image))
            self.query_one(ZoomView).focus()

    def action_close(self) -> None:
        self.dismiss(None)
