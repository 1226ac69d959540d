"""A line for the path of a folder, completed by Tab as a shell does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import Input

from dbtui.app.keys import bindings
from dbtui.app.photos import complete_path


class PathInput(Input):
    """Its text is a path as it was typed: ``~`` stands for the home folder."""

    KEYS: ClassVar[str] = "path"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("path")]

    @dataclass
    class Given(Message):
        """A path was typed; nobody has looked whether it is there."""

        folder: Path

    @dataclass
    class Left(Message):
        """It is not to be used."""

    @dataclass
    class Choices(Message):
        """The names that the path could go on with."""

        names: list[str]

    @dataclass
    class _Completed(Message):
        text: str
        longer: str
        names: list[str]

    def __init__(self, id: str) -> None:
        super().__init__(id=id, compact=True, select_on_focus=False, placeholder="a folder with photos")
        self.cursor_blink = False

    def action_complete(self) -> None:
        self.run_worker(partial(self._complete, self.value), thread=True, exclusive=True, exit_on_error=False)

    def _complete(self, text: str) -> None:
        self.post_message(self._Completed(text, *complete_path(text)))

    @on(_Completed)
    def _take(self, message: _Completed) -> None:
        if message.text != self.value:
            return
        self.value = message.longer
        self.cursor_position = len(self.value)
        self.post_message(self.Choices(message.names))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self.value.strip():
            self.post_message(self.Given(Path(self.value.strip()).expanduser().absolute()))

    def action_back(self) -> None:
        self.post_message(self.Left())
