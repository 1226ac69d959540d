"""A line for a prompt, with those that were drawn before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from dbtui.app.keys import bindings
from dbtui.app.widgets.field_row import Line, in_one_line


class PromptLine(Line):
    """The arrow keys ask for the prompt before and the one after; the screen knows them."""

    KEYS: ClassVar[str] = "prompt_line"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("prompt_line")]

    @dataclass
    class Turned(Message):
        """An older prompt is wanted (-1), or a newer one (1)."""

        line: PromptLine
        direction: int

    def __init__(self, value: str, placeholder: str, id: str) -> None:
        super().__init__(value, replaced=False)
        self.id, self.placeholder = id, placeholder

    def action_recall(self, direction: int) -> None:
        self.post_message(self.Turned(self, direction))

    def show(self, text: str) -> None:
        """Have ``text`` here, in one line, whatever it came from."""
        self.value = in_one_line(text)
        self.cursor_position = len(self.value)


class TableLine(PromptLine):
    """A prompt of a table, or what is not wanted in any of its pictures."""

    KEYS: ClassVar[str] = "compare_line"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("compare_line")]
