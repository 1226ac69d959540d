"""An app with an input, a picture, and everything that may happen near one. Run by test_pictures.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import ClassVar

from dbtui.core.tty import COLOUR_SYSTEMS, capabilities

terminal = capabilities(sys.argv[1])
os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", COLOUR_SYSTEMS[terminal.colours])

from PIL import Image  # noqa: E402
from textual.app import ComposeResult  # noqa: E402
from textual.binding import Binding, BindingType  # noqa: E402
from textual.screen import ModalScreen  # noqa: E402
from textual.widgets import Button, Input, Static  # noqa: E402

from dbtui.app.pictures import Picture  # noqa: E402
from dbtui.app.wire import SparingApp  # noqa: E402


class Dialog(ModalScreen[None]):
    CSS = "Dialog { background: transparent; align: center middle; } Static { width: 20; height: 5; }"

    def compose(self) -> ComposeResult:
        yield Static("a dialog")


ACTIONS = (
    "toast",
    "other",
    "dialog",
    "close",
    "remove",
    "leave",
    "focus",
    "missing",
    "twice",
    "clear",
    "again",
    "untoast",
)


class PictureApp(SparingApp[str]):
    ENABLE_COMMAND_PALETTE = False
    CSS = "Picture { border: round green; } Picture:hover { border: round red; }"
    # They hold in the dialog too.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(f"f{number}", f"do('{what}')", priority=True) for number, what in enumerate(ACTIONS, 1)
    ]

    def __init__(self) -> None:
        super().__init__(terminal)
        self.animation_level = "none"
        self.other = Image.open(sys.argv[3])

    def compose(self) -> ComposeResult:
        yield Input()
        yield Button("OK")
        yield Picture(Path(sys.argv[2]))  # down to the last row, which toasts leave free

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False

    def action_do(self, what: str) -> None:
        picture = next(iter(self.screen_stack[0].query(Picture)), None)
        if what == "toast":
            self.notify("a toast", timeout=60)
        elif what == "other":
            picture.path = Path(sys.argv[3])
        elif what == "twice":
            picture.path = Path(sys.argv[2])
            picture.path = Path(sys.argv[3])
        elif what == "missing":
            picture.path = Path("/no/picture\x1b[31m")
        elif what == "untoast":
            self.clear_notifications()
        elif what == "again":
            picture.image = self.other
        elif what == "clear":
            picture.path = None
        elif what == "dialog":
            self.push_screen(Dialog())
        elif what == "close":
            self.pop_screen()
        elif what == "remove":
            picture.remove()
        elif what == "focus":
            self.screen.focus_next()
        elif what == "leave":
            self.exit(self.query_one(Input).value)


print("VALUE", repr(PictureApp().run()), terminal.pictures)
