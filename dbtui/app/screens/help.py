"""The keys of a screen, read from their tables."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from dbtui.app.dialogs import TextDialog
from dbtui.app.keys import KEYS, Key

FACE = 5
"""Columns for the keys."""


class HelpDialog(TextDialog):
    """All keys that work on a screen and on what has the focus there, and those that work everywhere."""

    def __init__(self, tables: Sequence[str]) -> None:
        """``tables``: those that hold here, from the screen inwards."""
        blocks = [[_line(key) for key in KEYS[table]] for table in (*tables, "app")]
        mouse = "To select text with the mouse, hold shift (iTerm2: option) while you drag."
        blocks.append([Content.styled(mouse, "$text-muted")])
        super().__init__("Keys", Content("\n\n").join(Content("\n").join(block) for block in blocks))


def _line(key: Key) -> Content:
    return Content.assemble((f"{key.face:>{FACE}}  ", "bold $primary"), key.help)
