"""A journal played back: its events come again as they once came, only faster."""

from __future__ import annotations

import bisect
import time
from itertools import accumulate, pairwise
from pathlib import Path

from dbtui.core import paths
from dbtui.core.errors import UsageError, printable
from dbtui.core.events import Ended, Event, Started, Step
from dbtui.core.journal import JournalReader
from dbtui.core.run import Run, State, find_run
from dbtui.jobs.follow import Follower

LONGEST_WAIT = 10.0
"""Seconds of the journal between two events; a run that was taken up the next day does not keep one waiting."""


class Replay(Follower):
    """Follows a journal as if it were being written, ``speed`` times as fast, from the first ``tick`` on."""

    def __init__(self, journal: Path, speed: float = 1.0) -> None:
        """Raises UsageError if there is nothing in it, or for a speed that is none."""
        if not 0 < speed <= 1e6:
            raise UsageError(f"The speed cannot be {speed:g}", "It says how many times as fast the journal is played.")
        super().__init__(Run(journal.parent))
        self.speed = speed
        self._events = JournalReader(journal).read()
        if not self._events:
            raise UsageError(
                "There is nothing to replay",
                f"{printable(journal)} has no events of a training.",
                "A journal is the file journal.jsonl in the folder of a run; `dbtui where` tells where those are.",
            )
        waits = (min(max(0.0, after.time - before.time), LONGEST_WAIT) for before, after in pairwise(self._events))
        self._due = list(accumulate(waits, initial=0.0))
        self._given = 0
        self._began: float | None = None

    def tick(self, limit: int = -1) -> list[Event]:
        """The events that were due since the last call."""
        first, self._given = self._given, bisect.bisect_right(self._due, self._elapsed())
        return self._events[first : self._given]

    @property
    def read(self) -> float:
        return 1.0

    def is_full(self) -> bool:
        return False

    def state(self) -> State:
        """Live until all has been played; then how the journal says that the run ended."""
        given = self._events[: self._given]
        step = next((e.step for e in reversed(given) if isinstance(e, (Step, Ended))), 0)
        last = next((e for e in reversed(given) if isinstance(e, (Started, Ended))), None)
        if self._given < len(self._events):
            return State("live", step)
        if isinstance(last, Ended):
            return State(last.reason, last.step, last.message, last.hint, last.concept)
        return State("lost", step)

    def now(self) -> float:
        """The time of day in the journal."""
        last = max(0, self._given - 1)
        return self._events[last].time + max(0.0, min(self._elapsed(), self._due[-1]) - self._due[last])

    def _elapsed(self) -> float:
        """Seconds of the journal that have been played."""
        self._began = time.monotonic() if self._began is None else self._began
        return (time.monotonic() - self._began) * self.speed


def find_journal(word: str) -> Path:
    """The journal that is meant: a file, the folder of a run, or a run by id or name. Raises UsageError."""
    path = paths.expand(word)
    if path.is_file():
        return path.absolute()
    journal = path.absolute() / "journal.jsonl" if path.is_dir() else find_run(word).journal
    if not journal.is_file():
        raise UsageError("There is no journal", f"{printable(journal)} does not exist.", "Name the folder of a run.")
    return journal
