"""Photos from web addresses: asked for, downloaded with progress, and ended at any time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea
from textual.worker import Worker, WorkerState, get_current_worker

from dbtui.app.draft import Draft
from dbtui.app.keys import bindings
from dbtui.app.screens.base import as_error
from dbtui.app.widgets.choice import Choice
from dbtui.app.widgets.key_bar import KeyBar
from dbtui.app.wording import in_app
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.units import format_bytes, plural
from dbtui.core.web import Arrival, fetch_pictures

TEXT = "The addresses of three to ten photos, one a line:"


class AddressesDialog(ModalScreen[bool]):
    """Downloads into the draft; true if the draft has other photos then."""

    KEYS: ClassVar[str] = "addresses"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("addresses")]

    @dataclass
    class Arrived(Message):
        """How far the download is."""

        arrival: Arrival

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, AddressesDialog.Arrived)

    @dataclass
    class Downloaded(Message):
        """All are there."""

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self._draft = draft

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Photos from the web"
            dialog.border_subtitle = "F5: download \u00b7 esc: cancel"
            yield Static(TEXT, classes="dialog-text")
            lines = TextArea("\n".join(self._draft.urls), compact=True, tab_behavior="focus", id="addresses")
            lines.cursor_blink = False
            yield lines
            with Horizontal(id="private-row"):
                yield Static("Servers in private networks ")
                yield Choice({"no": "refused", "yes": "allowed"}, "no", id="private")
            yield Static(id="arrival")
        yield KeyBar()

    def action_download(self) -> None:
        urls = [line.strip() for line in self.query_one(TextArea).text.splitlines() if line.strip()]
        if not urls:
            self._say("There is no address yet.", "$warning")
        elif urls == self._draft.urls:
            self.dismiss(False)
        else:
            self._say("Asking the servers \u2026")
            private = self.query_one(Choice).value == "yes"
            self.run_worker(
                partial(self._download, urls, private),
                group="download",
                thread=True,
                exclusive=True,
                exit_on_error=False,
            )

    def action_cancel(self) -> None:
        self.workers.cancel_group(self, "download")
        self.dismiss(False)

    def _download(self, urls: list[str], private: bool) -> None:
        """In a worker thread: bring the pictures into the draft."""
        worker = get_current_worker()

        def progress(arrival: Arrival) -> None:
            if worker.is_cancelled:
                raise _CancelledError
            self.post_message(self.Arrived(arrival))

        folder = self._draft.make_download_folder()
        try:
            fetch_pictures(urls, folder, private, progress)
        except _CancelledError:
            return
        if not worker.is_cancelled:
            self._draft.use_download(urls, folder)
            self.post_message(self.Downloaded())

    @on(Arrived)
    def _arrived(self, message: Arrived) -> None:
        arrival = message.arrival
        total = f" of {format_bytes(arrival.total)}" if arrival.total else ""
        self._say(f"Picture {arrival.number} of {arrival.count}: {format_bytes(arrival.received)}{total}")

    @on(Downloaded)
    def _downloaded(self) -> None:
        self.notify(f"{plural(len(self._draft.urls), 'photo')} downloaded.")
        self.dismiss(True)

    @on(Worker.StateChanged)
    def _failed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            error: DbtuiError = as_error(event.worker.error)
            self._say(in_app(f"{error.message} {error.hint}"), "$error")

    def _say(self, words: str, colour: str = "$text-muted") -> None:
        self.query_one("#arrival", Static).update(Content.styled(printable(words), colour))


class _CancelledError(Exception):
    """The dialog was left."""
