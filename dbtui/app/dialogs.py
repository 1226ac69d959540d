"""Dialogs: yes or no, a line of text, a text to read and copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from dbtui.app.keys import bindings
from dbtui.app.widgets.field_row import Line
from dbtui.app.widgets.key_bar import KeyBar
from dbtui.app.wording import in_app
from dbtui.core.errors import DbtuiError, printable


class ConfirmDialog(ModalScreen[bool]):
    """A question whose answer is No unless Yes is chosen on purpose."""

    KEYS: ClassVar[str] = "confirm"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("confirm")]

    def __init__(self, title: str, text: str, yes: str) -> None:
        super().__init__()
        self._title, self._text, self._yes = title, text, yes

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(printable(self._title))
            yield Static(Content(printable(self._text)), classes="dialog-text")
            with Horizontal(classes="buttons"):
                yield Button(Content("No"), id="no", compact=True)
                yield Button(Content(self._yes), id="yes", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    def action_other(self) -> None:
        self.focus_next()


class PromptDialog(ModalScreen[str | None]):
    """Asks for a line of text; None if it was cancelled or left empty."""

    KEYS: ClassVar[str] = "dialog"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("dialog")]

    def __init__(self, title: str, text: str, value: str = "", check: Callable[[str], object] | None = None) -> None:
        """``check`` raises DbtuiError for a text that will not do; its words are shown and nothing is closed."""
        super().__init__()
        self._title, self._text, self._value, self._check = title, text, value, check

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(printable(self._title))
            dialog.border_subtitle = "enter: go on \u00b7 esc: cancel"
            yield Static(Content(printable(self._text)), classes="dialog-text")
            yield Line(self._value, replaced=False)
            yield Static(classes="dialog-problem")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(Line).go_to_end()

    @on(Input.Submitted)
    def action_accept(self) -> None:
        text = self.query_one(Input).value.strip()
        try:
            if text and self._check is not None:
                self._check(text)
        except DbtuiError as error:
            self.query_one(".dialog-problem", Static).update(Content(in_app(f"{error.message} {error.hint}")))
        else:
            self.dismiss(text or None)

    def action_cancel(self) -> None:
        self.dismiss(None)


class TextDialog(ModalScreen[None]):
    """A text to scroll and to copy."""

    KEYS: ClassVar[str] = "text"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("text")]

    def __init__(self, title: str, text: Content, end: bool = False, classes: str = "") -> None:
        """``end``: begin at the last line."""
        super().__init__(classes=classes)
        self._title, self._text, self._end = title, text, end

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog reader") as dialog:
            dialog.border_title = Content(printable(self._title))
            dialog.border_subtitle = "\u2191\u2193: scroll \u00b7 c: copy \u00b7 esc: close"
            yield Static(self._text)
        yield KeyBar()

    def on_mount(self) -> None:
        reader = self.query_one(VerticalScroll)
        reader.focus()
        if self._end:
            reader.scroll_end(animate=False)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._text.plain)
        self.notify("Copied, if the terminal allows programs to copy.")

    def action_close(self) -> None:
        self.dismiss(None)


class ErrorDialog(TextDialog):
    """What happened, what was kept, what to do next."""

    def __init__(self, error: DbtuiError) -> None:
        text = Content(printable(in_app(error.message)))
        if error.hint:
            text = Content("\n\n").join([text, Content.styled(printable(in_app(error.hint)), "$primary")])
        super().__init__(error.title, text, classes="error")
