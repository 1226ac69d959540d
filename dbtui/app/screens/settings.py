"""The settings: each takes effect at once, and is kept."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from dbtui.app.keys import bindings
from dbtui.app.pictures import Picture
from dbtui.app.settings import Settings
from dbtui.app.widgets.choice import Choice
from dbtui.app.widgets.key_bar import KeyBar
from dbtui.app.widgets.spin import Spin
from dbtui.core.errors import printable
from dbtui.core.fields import AUTO
from dbtui.core.subjects import SUBJECTS
from dbtui.core.tty import IMAGE_WORDS, IMAGES, Capabilities

if TYPE_CHECKING:
    from dbtui.app.app import DbtuiApp

COLOURS = {"truecolor": "all colours", "256": "256 colours", "16": "16 colours"}


class SettingsDialog(ModalScreen[None]):
    """Colours, and the way pictures are shown, with a picture to judge it by."""

    KEYS: ClassVar[str] = "settings"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("settings")]

    app: DbtuiApp  # type: ignore[assignment]

    def compose(self) -> ComposeResult:
        settings = self.app.settings
        with Vertical(classes="dialog", id="settings") as dialog:
            dialog.border_title = "Settings"
            with Horizontal():
                yield Static("colours", classes="label")
                yield Spin({name: name for name in self.app.available_themes}, settings.theme, id="theme")
            with Horizontal():
                yield Static("pictures", classes="label")
                yield Choice({images: images for images in IMAGES}, settings.images, id="images")
            yield Static(id="settings-words")
            yield Picture(min(SUBJECTS["teddy-bear"].folder.glob("*.jpg")))
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#images").focus()
        self._say()

    @on(Choice.Changed, "#theme")
    def _theme_chosen(self, message: Choice.Changed) -> None:
        self.app.theme = message.value

    @on(Choice.Changed, "#images")
    def _images_chosen(self, message: Choice.Changed) -> None:
        self.app.show_images(message.value)
        self._say()

    def _say(self) -> None:
        self.query_one("#settings-words", Static).update(_words(self.app.terminal, self.app.settings.images))

    def action_other(self) -> None:
        if isinstance(self.focused, Choice):
            self.focused.action_choose(1)

    def action_reset(self) -> None:
        for field in dataclasses.fields(Settings):
            choice = self.query_one(f"#{field.name}", Choice)
            if choice.value != field.default:
                choice.value = str(field.default)
                choice.post_message(Choice.Changed(choice, choice.value))

    def action_close(self) -> None:
        self.dismiss(None)


def _words(terminal: Capabilities, images: str) -> Content:
    """What is shown, and what the terminal was found to be."""
    waits = images not in (AUTO, terminal.pictures) or (images == AUTO and not terminal.found)
    lines = [Content(IMAGE_WORDS[terminal.pictures if images == AUTO else images])]
    if waits:
        lines.append(Content.styled("It takes effect when dbtui starts again.", "$warning"))
    facts = [terminal.name, f"in {terminal.within}" if terminal.within else "", COLOURS[terminal.colours]]
    lines.append(
        Content.styled(f"This terminal: {', '.join(printable(fact) for fact in facts if fact)}.", "$text-muted")
    )
    if terminal.hint:
        lines.append(Content.styled(printable(terminal.hint), "$warning"))
    return Content("\n").join(lines)
