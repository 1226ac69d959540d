"""Follow a run by its journal: from any shell, at any time, for any number of viewers."""

from __future__ import annotations

import time
from collections.abc import Iterator

from dbtui.core.events import Ended, Event
from dbtui.core.journal import JournalReader
from dbtui.core.run import Run, State
from dbtui.core.weights import free_space

INTERVAL = 0.25
"""Seconds between two looks at the journal."""

LEAST_ROOM = 1 << 16
"""Bytes free on a disk that is not called full."""


class Follower:
    """Reads a run's events as they come."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._reader = JournalReader(run.journal)

    def tick(self, limit: int = -1) -> list[Event]:
        """The events since the last call, from at most ``limit`` bytes of journal (-1: all)."""
        return self._reader.read(limit)

    @property
    def read(self) -> float:
        """The share of the journal that has been read, from 0 to 1."""
        return self._reader.offset / self._reader.size if self._reader.size else 1.0

    def state(self) -> State:
        """How the run stands."""
        return self.run.state()

    def is_full(self) -> bool:
        """Whether the disk has no room for what the trainer says, which then waits for some."""
        try:
            return free_space(self.run.path) < LEAST_ROOM
        except OSError:
            return False

    def now(self) -> float:
        """The time of day, by which a live run's time is told."""
        return time.time()

    def events(self) -> Iterator[Event | None]:
        """All events from the beginning until the run is over; None while there is nothing new."""
        while True:
            batch = self.tick()
            yield from batch
            # An end may be that of an earlier trainer: the one that took the run up has not said so yet.
            ended = any(isinstance(event, Ended) for event in batch)
            if (ended or not batch) and self.state().over:
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
