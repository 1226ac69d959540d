"""The app itself, where there is a terminal for it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.message import Message


def can_open_app() -> bool:
    """Whether there is a terminal to draw in: Textual reads standard input and draws on standard error."""
    from dbtui.core.tty import has_terminal

    return has_terminal() and sys.stderr.isatty()


def run_app(theme: str, images: str, first: Message | None = None) -> None:
    """Open the app until it is left, and say which trainings go on. Empty is what the settings say.

    ``first`` says what to open above the library.
    """
    from dataclasses import replace

    from dbtui.app.settings import read_settings
    from dbtui.core.tty import COLOUR_SYSTEMS, capabilities, parse_images

    settings, problem = read_settings()
    settings = replace(settings, theme=theme or settings.theme, images=parse_images(images or settings.images))
    terminal = capabilities(settings.images)
    # Textual reads it when it is imported; by itself it would look at COLORTERM alone.
    os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", COLOUR_SYSTEMS[terminal.colours])
    # Where a shell exports them they are the size that the window had then, and Textual would believe them.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    from dbtui.app.app import open_app

    with _screen_to_itself():
        open_app(settings, terminal, problem, first)
    _say_what_goes_on()


@contextlib.contextmanager
def _screen_to_itself() -> Iterator[None]:
    """What libraries in C say of a damaged picture, by the number of standard error, would be in the middle of the
    screen: it goes nowhere. Textual has standard error by its name, which leads to the terminal by another number."""
    said, known = sys.stderr, sys.__stderr__
    with open(os.devnull, "wb") as nowhere, open(os.dup(2), "w", encoding=said.encoding, errors=said.errors) as window:
        sys.stderr = sys.__stderr__ = window  # type: ignore[misc]
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            window.flush()
            os.dup2(window.fileno(), 2)
            sys.stderr, sys.__stderr__ = said, known  # type: ignore[misc]


def _say_what_goes_on() -> None:
    from dbtui.core.run import runs
    from dbtui.terminal import say

    for run in runs():
        if run.trainer() is not None:
            say(f"{run.id} goes on training. `dbtui` or `dbtui follow {run.id}` comes back to it.")
