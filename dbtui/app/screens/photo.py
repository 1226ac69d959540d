"""One photo over the whole window, to look at closely."""

from __future__ import annotations

from dataclasses import dataclass
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
from dbtui.core.errors import printable


class PhotoDialog(ModalScreen[None]):
    """Reads the photo in a worker thread, and shows it or why it cannot be."""

    KEYS: ClassVar[str] = "photo"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("photo")]

    @dataclass
    class Opened(Message):
        """The photo, or why there is none."""

        image: Image.Image | None
        reason: str = ""

    def __init__(self, path: Path, heading: str = "") -> None:
        """``heading`` is in place of the file's name."""
        super().__init__()
        self._path, self._heading = path, heading or path.name

    def compose(self) -> ComposeResult:
        with Vertical(id="large") as frame:
            frame.border_title = Content(printable(self._heading).replace("\n", "\\n"))
            frame.border_subtitle = "esc: close"
            yield Static("Reading the photo \u2026", id="large-words")
        yield KeyBar()

    def on_mount(self) -> None:
        self.run_worker(self._open, thread=True, exit_on_error=False, group="photo")

    def _open(self) -> None:
        try:
            self.post_message(self.Opened(open_picture(self._path, MOST)))
        except UnusableError as error:
            self.post_message(self.Opened(None, str(error)))

    @on(Opened)
    async def _show_photo(self, message: Opened) -> None:
        words = self.query_one("#large-words", Static)
        if message.image is None:
            words.update(Content(f"This cannot be shown: {printable(message.reason)}."))
            return
        await words.remove()
        view = ZoomView(message.image)
        frame = self.query_one("#large")
        frame.border_subtitle = "+ -: zoom \u00b7 arrows: move \u00b7 0: whole \u00b7 esc: close"
        await frame.mount(view)
        view.focus()

    def action_close(self) -> None:
        self.dismiss(None)
