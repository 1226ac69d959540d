"""One of many values, of which only the chosen one is in sight."""

from __future__ import annotations

from collections.abc import Mapping

from textual import events
from textual.content import Content

from dbtui.app.widgets.choice import Choice


class Spin(Choice):
    """Shows the chosen value between two arrows; the arrow keys or a click on its halves go to the next."""

    def __init__(self, options: Mapping[str, str], value: str, id: str | None = None) -> None:
        super().__init__(options, value, id)
        self._room = max((Content(words).cell_length for words in options.values()), default=0)
        self.styles.width = self._room + 4

    @property
    def values(self) -> list[str]:
        return list(self._options)

    def render(self) -> Content:
        words = self._options.get(self._value, "")
        room = " " * (self._room - Content(words).cell_length)
        return Content.styled(f"\u2039 {words}{room} \u203a", self.get_visual_style("choice--chosen"))

    def on_click(self, event: events.Click) -> None:
        event.prevent_default()
        self.action_choose(-1 if event.x < self.size.width / 2 else 1)
