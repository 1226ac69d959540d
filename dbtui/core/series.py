"""A run's loss as people can read it: smoothed, and free of steps that a resume took back."""

from __future__ import annotations

import bisect
import math
from array import array
from collections import deque
from dataclasses import dataclass, field

from dbtui.core.events import Event, Started, Step

SMOOTHING = 0.97
"""Share of the average that each step keeps: about the last 30 steps count."""

RECENT = 20
"""Steps whose mean time tells the pace."""


@dataclass(slots=True)
class Progress:
    """Where a training stands, made from its events one by one."""

    steps: int = 0
    last: Step | None = None
    _sum: float = 0.0
    _weight: float = 0.0
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    _past: tuple[array[int], array[float], array[float]] = field(
        default_factory=lambda: (array("q"), array("d"), array("d"))
    )
    """Steps, and what the sum and the weight were after each: a resume goes on from there, as if nothing had been."""

    def add(self, event: Event) -> None:
        if isinstance(event, Started):
            self.steps = event.steps
            self._go_back(event.resumed_from)
            self._seconds.clear()
        elif isinstance(event, Step):
            self.last = event
            if math.isfinite(event.loss):
                self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * event.loss
                self._weight = SMOOTHING * self._weight + (1 - SMOOTHING)
            self._seconds.append(event.seconds)
            steps, sums, weights = self._past
            steps.append(event.step)
            sums.append(self._sum)
            weights.append(self._weight)

    def _go_back(self, step: int) -> None:
        """Forget the losses after ``step``."""
        steps, sums, weights = self._past
        end = bisect.bisect_right(steps, step)
        del steps[end:], sums[end:], weights[end:]
        self._sum, self._weight = (sums[-1], weights[-1]) if sums else (0.0, 0.0)

    @property
    def loss(self) -> float:
        """The moving average of the loss, without the pull of its start towards zero."""
        return self._sum / self._weight if self._weight else 0.0

    @property
    def pace(self) -> float:
        """Seconds for a step; 0 before the first."""
        return sum(self._seconds) / len(self._seconds) if self._seconds else 0.0

    @property
    def left(self) -> float:
        """Seconds until the last step at this pace."""
        return self.pace * (self.steps - self.last.step) if self.last else 0.0
