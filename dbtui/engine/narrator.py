"""What the trainer says while it works: events into the journal, phases not more often than needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from dbtui.core.errors import printable
from dbtui.core.events import Event, Log, Phase, Step

INTERVAL = 0.2
"""Seconds between two reports of one phase."""


class Journal(Protocol):
    """Where events go: a run's journal, or whoever listens to this process."""

    def write(self, event: Event) -> None: ...


class Narrator:
    """Writes to the journal; without one, as in a process that does not lead, says nothing."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._phase = ""
        self._last = 0.0
        self.step = 0
        """The last step that was said to be done."""
        self.listeners: list[Callable[[Event], None]] = []
        """Called with each event once the journal has it."""

    def say(self, event: Event) -> None:
        if isinstance(event, Step):
            self.step = event.step
        if self._journal is not None:
            self._journal.write(event)
        for hear in self.listeners:
            hear(event)

    def log(self, message: str, level: str = "info") -> None:
        self.say(Log(message=printable(message), level=level))

    def phase(self, name: str, done: int = 0, total: int = 0, unit: str = "") -> None:
        """Report progress of ``name``; its first, its last and a few a second between are written."""
        now = time.monotonic()
        if name != self._phase or done == total or now - self._last >= INTERVAL:
            self._phase, self._last = name, now
            self.say(Phase(name=name, done=done, total=total, unit=unit))
