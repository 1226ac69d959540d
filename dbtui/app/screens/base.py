"""What all screens have: a top line, the key bar, one way to show what went wrong, and a smallest size."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from dbtui.app.dialogs import ErrorDialog
from dbtui.app.messages import Done, Failed
from dbtui.app.widgets.key_bar import KeyBar
from dbtui.core import paths
from dbtui.core.errors import FULL, DbtuiError, obstacle, printable

SMALLEST = (80, 24)
"""Columns and rows below which a screen shows one sentence instead."""


class BaseScreen(Screen[str]):
    """A screen of the app. A subclass sets ``KEYS`` and ``BINDINGS``, and composes its ``body``.

    It is dismissed with a sentence for the screen below, which may be empty.
    """

    AUTO_FOCUS = ""  # each screen says itself what has the focus

    KEYS: ClassVar[str]
    """The screen's table in ``dbtui.app.keys``."""

    def compose(self) -> ComposeResult:
        with Horizontal(id="top"):
            yield Static(id="place")
            yield Static(id="facts")
        yield from self.body()
        yield KeyBar()
        yield Static(
            f"dbtui needs {SMALLEST[0]} columns and {SMALLEST[1]} rows; this window is smaller.", id="too-small"
        )

    def body(self) -> ComposeResult:
        raise NotImplementedError

    def say_where(self, *places: str, facts: Content | str = "") -> None:
        """Fill the top line: where one is, from the app down, and what matters beside it."""
        crumbs = [Content.styled(" dbtui", "bold $accent")]
        crumbs += [Content.assemble(("  \u203a  ", "$text-muted"), (printable(place), "bold")) for place in places]
        self.query_one("#place", Static).update(Content("").join(crumbs))
        self.query_one("#facts", Static).update(facts)

    def start(self, task: Callable[[], object], group: str) -> None:
        """Run ``task`` in a thread that ends with this screen; one of a group at a time."""
        self.run_worker(task, group=group, thread=True, exclusive=True, exit_on_error=False)

    def show_error(self, error: DbtuiError) -> None:
        self.app.push_screen(ErrorDialog(error))

    @on(Failed)
    def _failed(self, message: Failed) -> None:
        self.show_error(message.error)

    @on(Done)
    def _done(self, message: Done) -> None:
        self.notify(message.words, markup=False)

    @on(Worker.StateChanged)
    def _worker_failed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            self.show_error(as_error(event.worker.error))


def as_error(error: BaseException) -> DbtuiError:
    """Any error as one that can be shown; a defect of the program keeps its traceback, to be copied."""
    if isinstance(error, DbtuiError):
        return error
    if isinstance(error, OSError) and error.errno in (*FULL, errno.EROFS):
        folder = Path(error.filename).parent if isinstance(error.filename, str) else paths.data_dir()
        message, hint = obstacle(error, folder)
        return DbtuiError("A file could not be written", f"{message} What was there before is as it was.", hint)
    if isinstance(error, OSError):
        return DbtuiError("A file could not be used", printable(error), "`dbtui where` tells the folders.")
    trace = "".join(traceback.format_exception(error))
    return DbtuiError("Something went wrong in dbtui", printable(trace), "Trainings are not touched by it.")
