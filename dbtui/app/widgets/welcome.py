"""What an empty library shows: one clear way in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Center, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

CHOICES = {
    "demo": (
        "Try the demo",
        "A small model that comes with dbtui learns a teddy bear from five photos,\n"
        "in a minute or three. Nothing is downloaded.",
    ),
    "new": (
        "Teach a new concept",
        "Your dog, your mug, your grandmother's chair: three to five photos of it\nin a folder, and a sentence that describes them.",
    ),
}


class Choices(OptionList):
    """What a new user can begin with."""

    KEYS: ClassVar[str] = "welcome"


class Welcome(Vertical):
    """The first screen of a new user."""

    @dataclass
    class Chosen(Message):
        """``demo`` or ``new``."""

        choice: str

    def compose(self) -> ComposeResult:
        with Center(), Vertical(id="welcome-box"):
            yield Static(
                Content.assemble(
                    ("Teach Stable Diffusion something it has never seen\n", "bold $accent"),
                    ("from a handful of photos, here in the terminal.", "$text-muted"),
                ),
                id="welcome-title",
            )
            yield Choices(*(Option(_words(name), id=name) for name in CHOICES), id="welcome-choices", compact=True)

    def focus_choices(self) -> None:
        choices = self.query_one(Choices)
        if not choices.has_focus:
            choices.highlighted = 0
            choices.focus()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Chosen(event.option_id or ""))


def _words(name: str) -> Content:
    title, text = CHOICES[name]
    indented = "\n".join(f"  {line}" for line in text.splitlines())
    return Content.assemble((f"\n  {title}\n", "bold"), (f"{indented}\n", "$text-muted"))
