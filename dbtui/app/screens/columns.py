"""What a comparison has side by side, chosen from all that can draw."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import SelectionList, Static
from textual.widgets.selection_list import Selection

from dbtui.app.keys import bindings
from dbtui.app.widgets.key_bar import KeyBar
from dbtui.core.errors import printable

MOST = 12
"""Columns of a table."""


class SourceList(SelectionList[str]):
    """Space takes an entry in or leaves it out; so does a click."""

    KEYS: ClassVar[str] = "columns"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("columns")]


class ColumnsDialog(ModalScreen[list[str] | None]):
    """Answers with the names of what was chosen, in the list's order; None if nothing is to change."""

    def __init__(self, words: Mapping[str, str], chosen: Collection[str], note: str) -> None:
        """``words`` of each name; ``note`` is a sentence on what is there."""
        super().__init__()
        self._words, self._chosen, self._note = words, chosen, note

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Columns"
            dialog.border_subtitle = "space: take in, leave out \u00b7 enter: compare these \u00b7 esc: cancel"
            yield Static(Content(printable(self._note)), classes="dialog-text")
            entries = (Selection(Content(printable(w)), name, name in self._chosen) for name, w in self._words.items())
            yield SourceList(*entries, id="columns", compact=True)
            yield Static(classes="dialog-problem")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(SourceList).focus()

    def action_done(self) -> None:
        chosen = set(self.query_one(SourceList).selected)
        if 0 < len(chosen) <= MOST:
            self.dismiss([name for name in self._words if name in chosen])
        else:
            words = f"At most {MOST} can be compared." if chosen else "Choose at least one."
            self.query_one(".dialog-problem", Static).update(words)

    def action_cancel(self) -> None:
        self.dismiss(None)
