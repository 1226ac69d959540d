"""The table of the library: as many columns as there is room for, and only changed cells are drawn again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.widgets import DataTable

from dbtui.app.entries import Entry
from dbtui.app.keys import bindings
from dbtui.app.theme import rich_style
from dbtui.core.errors import printable
from dbtui.core.units import format_bytes

STATES = {
    "live": ("\u25cf", "success"),
    "done": ("\u2713", "success"),
    "stopped": ("\u25a0", "warning"),
    "failed": ("\u2717", "error"),
    "lost": ("?", "warning"),
    "new": ("\u25cb", "text-muted"),
    "damaged": ("!", "error"),
}
"""A mark and a colour of the theme for each state: the mark tells them apart without colours."""

Paint = Callable[[str], Style]
"""The style of a name among the theme's colours."""


def state_cell(entry: Entry, paint: Paint) -> Text:
    mark, colour = STATES[entry.state]
    return Text(f"{mark} {entry.state}", paint(colour))


def steps_cell(entry: Entry, paint: Paint) -> Text:
    if entry.state == "done" or not entry.steps:
        return Text(f"{entry.steps:,}" if entry.steps else "", justify="right")
    share = entry.step / entry.steps
    text = Text(f"{share:4.0%} ", justify="right")
    full = round(share * 6)
    text.append("\u2501" * full, paint("accent"))
    text.append("\u2500" * (6 - full), paint("border-blurred"))  # thin: the row under the cursor has one colour
    return text


def _text(value: Callable[[Entry], str], muted: bool = False) -> Callable[[Entry, Paint], Text]:
    def cell(entry: Entry, paint: Paint) -> Text:
        return Text(printable(value(entry)), paint("text-muted") if muted else "", no_wrap=True, overflow="ellipsis")

    return cell


@dataclass(frozen=True, slots=True)
class Column:
    """A column; it is shown where the table has at least ``room`` cells. Width 0 takes what is left."""

    title: str
    width: int
    room: int
    cell: Callable[[Entry, Paint], Text]


def _date(entry: Entry) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(entry.created)) if entry.created else ""


def _size(entry: Entry, paint: Paint) -> Text:
    return Text("\u2026" if entry.size is None else format_bytes(entry.size), paint("text-muted"), justify="right")


COLUMNS = (
    Column("Name", 18, 0, _text(lambda e: e.name)),
    Column("State", 9, 0, state_cell),
    Column("Steps", 11, 0, steps_cell),
    Column("Model", 18, 112, _text(lambda e: e.base.removesuffix("/").rsplit("/", 1)[-1], muted=True)),
    Column("Prompt", 0, 80, _text(lambda e: e.problem if e.state == "damaged" else e.prompt)),
    Column("Taught", 10, 70, _text(_date, muted=True)),
    Column("Size", 8, 58, _size),
)


class EntryTable(DataTable[Text]):
    """Rows of entries; the cursor stays on its entry whatever comes and goes."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("entries")]

    def __init__(self, id: str) -> None:
        super().__init__(cursor_type="row", id=id, cell_padding=1)
        self._entries: dict[str, Entry] = {}
        self._shown: tuple[Column, ...] = ()
        self._at_top = False

    @property
    def current(self) -> Entry | None:
        """The entry under the cursor."""
        if not self._entries or not self.is_valid_row_index(self.cursor_row):
            return None
        return self._entries.get(self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value or "")

    def stay_at_top(self) -> None:
        """Have a cursor in the first row stay there with the next entries, whatever comes above its entry."""
        self._at_top = self.cursor_row == 0

    def show(self, entries: Sequence[Entry]) -> None:
        """Show ``entries`` in this order."""
        before, self._entries = self._entries, {entry.key: entry for entry in entries}
        if list(before) != list(self._entries) or not self._shown:
            self._rebuild()
            return
        self._at_top = False
        paint = partial(rich_style, self.app.theme_variables)
        for key, entry in self._entries.items():
            if entry != before[key]:
                for column in self._shown:
                    cell = column.cell(entry, paint)
                    if cell != self.get_cell(key, column.title):
                        self.update_cell(key, column.title, cell)

    def on_resize(self, event: events.Resize) -> None:
        if self._fitting(event.size.width) != self._shown or self._widths() != self._drawn_widths:
            self._rebuild()

    def repaint(self) -> None:
        """Draw all cells again, in the colours of another theme."""
        self._rebuild()

    def _fitting(self, room: int) -> tuple[Column, ...]:
        return tuple(column for column in COLUMNS if column.room <= room)

    def _widths(self) -> list[int]:
        columns = self._fitting(self.size.width)
        fixed = sum(column.width for column in columns) + 2 * len(columns)
        # Without a column that stretches, the name takes what is left.
        stretches = any(column.width == 0 for column in columns)
        left = max(0, self.size.width - fixed - 1)  # 1: the scrollbar
        return [
            max(12, left) if column.width == 0 else column.width + (left if place == 0 and not stretches else 0)
            for place, column in enumerate(columns)
        ]

    def _rebuild(self) -> None:
        if not self.size.width:  # hidden: it is built when it is seen again
            self._shown = ()
            return
        current, row = self.current, self.cursor_row
        self._shown, self._drawn_widths = self._fitting(self.size.width), self._widths()
        with self.app.batch_update():
            self.clear(columns=True)
            for column, width in zip(self._shown, self._drawn_widths, strict=True):
                self.add_column(column.title, width=width, key=column.title)
            paint = partial(rich_style, self.app.theme_variables)
            for key, entry in self._entries.items():
                self.add_row(*(column.cell(entry, paint) for column in self._shown), key=key)
        if current is not None and current.key in self._entries and not self._at_top:
            row = self.get_row_index(current.key)
        self._at_top = False
        self.move_cursor(row=min(max(row, 0), max(0, len(self._entries) - 1)), animate=False)

    _drawn_widths: list[int] = []  # noqa: RUF012
