"""The keys of a screen, read from their table."""

from __future__ import annotations

from textual.content import Content

from dbtui.app.dialogs import TextDialog
from dbtui.app.keys import KEYS, Key

FACE = 5
"""Columns for the keys."""


class HelpDialog(TextDialog):
    """All keys that work on a screen, and those that work everywhere."""

    def __init__(self, table: str) -> None:
        here = [_line(key) for key in KEYS[table]]
        everywhere = [_line(key) for key in KEYS["app"]]
        mouse = "To select text with the mouse, hold shift (iTerm2: option) while you drag."
        lines = [*here, Content(""), *everywhere, Content(""), Content.styled(mouse, "$text-muted")]
        super().__init__("Keys", Content("\n").join(lines))


def _line(key: Key) -> Content:
    return Content.assemble((f"{key.face:>{FACE}}  ", "bold $primary"), key.help)
