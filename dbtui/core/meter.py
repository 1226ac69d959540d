"""How far and how fast a phase goes, from its events one by one."""

from __future__ import annotations

from collections import deque

from dbtui.core.events import Phase

WINDOW = 10.0
"""Seconds whose mean is the rate."""


class Meter:
    """The phase that is going on; a phase of another name begins a new measurement."""

    def __init__(self) -> None:
        self.phase: Phase | None = None
        self._recent: deque[tuple[float, int]] = deque()

    def add(self, event: Phase) -> None:
        if self.phase is None or self.phase.name != event.name or event.done < self.phase.done:
            self._recent.clear()
        self.phase = event
        self._recent.append((event.time, event.done))
        while len(self._recent) > 2 and event.time - self._recent[0][0] > WINDOW:
            self._recent.popleft()

    @property
    def rate(self) -> float:
        """Units a second; 0 before two events."""
        if len(self._recent) < 2:
            return 0.0
        (began, before), (time, done) = self._recent[0], self._recent[-1]
        return (done - before) / (time - began) if time > began else 0.0

    @property
    def left(self) -> float:
        """Seconds to the phase's end at this rate; 0 if that cannot be told."""
        phase = self.phase
        return (phase.total - phase.done) / self.rate if phase and phase.total and self.rate else 0.0
