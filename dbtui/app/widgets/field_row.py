"""A row of the form: a parameter of the table, what is typed for it, and what is wrong with that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.widgets import Input, Static

from dbtui.app.keys import bindings
from dbtui.app.widgets.choice import Choice
from dbtui.core.errors import printable
from dbtui.core.fields import AUTO, Field

SWITCH = {"true": "on", "false": "off"}


class Line(Input):
    """A line of text. What is pasted over several lines becomes one; what could drive a terminal becomes visible."""

    def __init__(self, value: str, replaced: bool) -> None:
        """``replaced``: what is typed first takes the place of all, as is usual for numbers."""
        super().__init__(value, compact=True, select_on_focus=replaced)
        self.cursor_blink = False

    def go_to_end(self) -> None:
        """Go on typing at the end, which is in view as soon as the line has room."""
        self.cursor_position = len(self.value)
        self.call_after_refresh(self._show_cursor)

    def _show_cursor(self) -> None:
        # Without room it was scrolled as far as it goes.
        self.scroll_to(x=0, animate=False, force=True, immediate=True)
        self.scroll_to_region(Region(self._cursor_offset, 0, 1, 1), animate=False, force=True)

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        self.replace(in_one_line(event.text), *self.selection)


def in_one_line(text: str) -> str:
    """``text`` as a line can hold it: what could drive a terminal is made visible."""
    return printable(" ".join(text.splitlines()).replace("\t", " "))


class FieldRow(Container):
    """Shows one parameter."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("field")]

    @dataclass
    class Changed(Message):
        """Something was typed or chosen."""

        key: str
        text: str

    def __init__(self, spec: Field, text: str) -> None:
        super().__init__(id=row_id(spec.key), classes="-advanced" if spec.advanced else None)
        self.spec = spec
        self._text, self._problem = text, ""

    def compose(self) -> ComposeResult:
        yield Static(self._label(False), classes="label")
        options = options_of(self.spec)
        yield Choice(options, self._text) if options else Line(self._text, self.spec.kind in (int, float))
        yield Static(classes="problem")

    @property
    def editor(self) -> Line | Choice:
        """What has the focus when the row has it."""
        found = self.children[1]
        assert isinstance(found, Line | Choice)
        return found

    def write(self, text: str) -> None:
        """Put another text in the place of what is there."""
        self._text = text
        with self.prevent(Input.Changed):
            self.editor.value = text

    def show(self, changed: bool, problem: str) -> None:
        """``changed``: it differs from the preset. ``problem`` is a sentence, or empty."""
        if changed != self.has_class("-changed"):
            self.set_class(changed, "-changed")
            self.query_one(".label", Static).update(self._label(changed), layout=False)
        if problem != self._problem:
            self._problem = problem
            self.set_class(bool(problem), "-problem")
            self.query_one(".problem", Static).update(Content(printable(problem)))

    def suggest(self, text: str) -> None:
        """What holds while nothing is typed."""
        editor = self.editor
        if isinstance(editor, Line):
            editor.placeholder = text

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._take(event.value)

    @on(Input.Submitted)
    def _go_on(self, event: Input.Submitted) -> None:
        """A line keeps enter for itself, and says so by this."""
        event.stop()
        self.screen.focus_next()

    @on(Choice.Changed)
    def _chosen(self, event: Choice.Changed) -> None:
        event.stop()
        self._take(event.value)

    def _take(self, text: str) -> None:
        if text != self._text:
            self._text = text
            self.post_message(self.Changed(self.spec.key, text))

    def _label(self, changed: bool) -> Content:
        unit = f" ({self.spec.unit})" if self.spec.unit else ""
        mark = ("\u2022 ", "bold $accent") if changed else "  "
        return Content.assemble(mark, self.spec.label, (unit, "$text-muted"))


def row_id(key: str) -> str:
    """The id of the row of a parameter."""
    return f"row-{key.replace('.', '-')}"


def options_of(spec: Field) -> dict[str, str]:
    """The values of a parameter that has only a few, with the words for them; empty for one that is typed."""
    values = [AUTO] if spec.auto and AUTO not in spec.choices else []
    if spec.kind is bool:
        return {value: SWITCH.get(value, value) for value in [*values, *SWITCH]}
    return {value: value for value in [*values, *spec.choices]} if spec.choices else {}
