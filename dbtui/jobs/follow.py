"""Follow a run by its journal: from any shell, at any time, for any number of viewers."""

from __future__ import annotations

import time
from collections.abc import Iterator

from dbtui.core.events import Ended, Event, Started
from dbtui.core.journal import JournalReader
from dbtui.core.run import Run, State

INTERVAL = 0.25
"""Seconds between two looks at the journal."""


class Follower:
    """Reads a run's events as they come."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._reader = JournalReader(run.journal)

    def tick(self) -> list[Event]:
        """The events since the last call."""
        return self._reader.read()

    def events(self) -> Iterator[Event | None]:
        """All events from the beginning until the run is over; None while there is nothing new."""
        over = False
        while True:
            batch = self.tick()
            yield from batch
            for event in batch:
                over = isinstance(event, Ended) if isinstance(event, (Ended, Started)) else over
            if over or (not batch and self.run.state().over):
                yield from self.tick()
                return
            if not batch:
                yield None
                time.sleep(INTERVAL)


def wait_until_over(run: Run, patience: float) -> State:
    """The state of ``run`` once it is over, or after ``patience`` seconds as it is then."""
    deadline = time.monotonic() + patience
    state = run.state()
    while not state.over and time.monotonic() < deadline:
        time.sleep(INTERVAL)
        state = run.state()
    return state
