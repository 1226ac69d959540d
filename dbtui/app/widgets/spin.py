"""One of many values, of which only the chosen one is in sight."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len, set_cell_size
from textual import events
from textual.content import Content

from dbtui.app.widgets.choice import Choice

MOST = 21
"""Cells of the longest value: in the smallest window there is room for what stands beside it."""

TAIL = 10
"""Cells of the end of a value that is longer: of a model's weights it tells from which step they are."""


class Spin(Choice):
    """Shows the chosen value between two arrows; the arrow keys or a click on its halves go to the next."""

    def __init__(self, options: Mapping[str, str], value: str, id: str | None = None) -> None:
        super().__init__(options, value, id)
        self._room = min(MOST, max((cell_len(words) for words in options.values()), default=0))
        self.styles.width = self._room + 4

    @property
    def values(self) -> list[str]:
        return list(self._options)

    def render(self) -> Content:
        words = fitted(self._options.get(self._value, ""), self._room)
        return Content.styled(f"\u2039 {words} \u203a", self.get_visual_style("choice--chosen"))

    def on_click(self, event: events.Click) -> None:
        event.prevent_default()
        self.action_choose(-1 if event.x < self.size.width / 2 else 1)


def fitted(words: str, room: int) -> str:
    """``words`` in so many cells: filled up, or without their middle."""
    if cell_len(words) <= room:
        return set_cell_size(words, room)
    tail = words[next(at for at in range(len(words)) if cell_len(words[at:]) <= TAIL) :]
    return set_cell_size(words, room - 1 - cell_len(tail)) + "\u2026" + tail
