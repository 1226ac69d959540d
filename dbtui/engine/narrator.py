"""What the trainer says while it works: events into the journal, phases not more often than needed."""

from __future__ import annotations

import time

from dbtui.core.errors import printable
from dbtui.core.events import Event, Log, Phase, Step
from dbtui.core.journal import JournalWriter

INTERVAL = 0.2
"""Seconds between two reports of one phase."""


class Narrator:
    """Writes to the journal."""

    def __init__(self, journal: JournalWriter) -> None:
        self._journal = journal
        self._phase = ""
        self._last = 0.0
        self.step = 0
        """The last step that was said to be done."""

    def say(self, event: Event) -> None:
        if isinstance(event, Step):
            self.step = event.step
        self._journal.write(event)

    def log(self, message: str, level: str = "info") -> None:
        self.say(Log(message=printable(message), level=level))

    def phase(self, name: str, done: int = 0, total: int = 0, unit: str = "") -> None:
        """Report progress of ``name``; its first, its last and a few a second between are written."""
        now = time.monotonic()
        if name != self._phase or done == total or now - self._last >= INTERVAL:
            self._phase, self._last = name, now
            self.say(Phase(name=name, done=done, total=total, unit=unit))
