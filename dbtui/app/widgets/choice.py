"""One of a few values, all of them in sight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from dbtui.app.keys import bindings


class Choice(Widget, can_focus=True):
    """Shows the values side by side; the arrow keys or a click choose."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("choice")]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"choice--chosen", "choice--other"}

    @dataclass
    class Changed(Message):
        """Another value was chosen."""

        choice: Choice
        value: str

        @property
        def control(self) -> Choice:
            return self.choice

    def __init__(self, options: Mapping[str, str], value: str, id: str | None = None) -> None:
        """``options`` are values and the words for them."""
        super().__init__(id=id)
        self._options = dict(options)
        self._value = value

    @property
    def value(self) -> str:
        return self._value

    @value.setter
    def value(self, value: str) -> None:
        """Show another value, without a word to anybody."""
        if value != self._value:
            self._value = value
            self.refresh()

    def render(self) -> Content:
        styles = {True: self.get_visual_style("choice--chosen"), False: self.get_visual_style("choice--other")}
        return Content.assemble(*((f" {words} ", styles[v == self._value]) for v, words in self._options.items()))

    def action_choose(self, direction: int) -> None:
        values = list(self._options)
        place = values.index(self._value) if self._value in values else -direction
        self._choose(values[(place + direction) % len(values)])

    def on_click(self, event: events.Click) -> None:
        left = 0
        for value, words in self._options.items():
            width = Content(words).cell_length + 2
            if left <= event.x < left + width:
                self._choose(value)
            left += width

    def _choose(self, value: str) -> None:
        if value != self._value:
            self.value = value
            self.post_message(self.Changed(self, value))
