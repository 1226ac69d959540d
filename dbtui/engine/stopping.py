"""The wish to stop: signals and requests only set a flag, which the work looks at between steps."""

from __future__ import annotations

import signal
import time
from types import FrameType

from dbtui.core.run import Run

INTERVAL = 0.1
"""Seconds between two looks for a request."""


class Stopped(Exception):
    """Raised outside the loop, where there is nothing to save yet."""


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopFlag:
    """True once a signal or a request asked the trainer of ``run`` to end."""

    def __init__(self, run: Run) -> None:
        self.reason = ""
        self._run = run
        self._looked = 0.0

    def listen(self) -> StopFlag:
        """Turn Ctrl-C, termination and a lost terminal into a wish."""
        for name in SIGNALS:
            signal.signal(name, self._heard)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # a supervisor lets them wait until somebody listens
        return self

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.reason = self.reason or f"signal {signal.Signals(number).name}"

    def __bool__(self) -> bool:
        now = time.monotonic()
        if not self.reason and now - self._looked >= INTERVAL:
            self._looked = now
            if self._run.take_stop():
                self.reason = "as asked"
        return bool(self.reason)

    def check(self) -> None:
        """Raise Stopped if the wish was heard."""
        if self:
            raise Stopped(self.reason)


class Deaf(StopFlag):
    """That of a process that leaves the wish to the leading one, and ends when that does."""

    def __bool__(self) -> bool:
        return False
