"""All that a run's journal has said, in the form a viewer draws it: curves, samples, sentences, the phase in hand."""

from __future__ import annotations

import bisect
from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from dbtui.core.events import Checkpoint, Ended, Event, Log, Phase, Sample, Started, Step
from dbtui.core.series import Progress
from dbtui.core.units import format_bytes

NOTES = 1000
"""Sentences that are remembered; the journal has them all."""

SPEED_WINDOW = 5.0
"""Seconds over which the speed of a phase is measured."""


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence of the journal; ``level`` is info, good, warning or error."""

    time: float
    text: str
    level: str = "info"


@dataclass(slots=True)
class Curves:
    """One number of each kind for every step, as C doubles; ``step`` ascends."""

    step: array[float] = field(default_factory=lambda: array("d"))
    loss: array[float] = field(default_factory=lambda: array("d"))
    smooth: array[float] = field(default_factory=lambda: array("d"))
    rate: array[float] = field(default_factory=lambda: array("d"))
    norm: array[float] = field(default_factory=lambda: array("d"))

    def all(self) -> tuple[array[float], ...]:
        return self.step, self.loss, self.smooth, self.rate, self.norm

    def copy(self) -> Curves:
        """For another thread: growing these does not change it."""
        return Curves(*(column[:] for column in self.all()))

    def cut(self, step: int) -> None:
        """Forget what came after ``step``."""
        end = bisect.bisect_right(self.step, step)
        for column in self.all():
            del column[end:]


class History:
    """Takes in a run's events one by one."""

    def __init__(self) -> None:
        self.curves = Curves()
        self.progress = Progress()
        self.samples: list[Sample] = []
        self.notes: deque[Note] = deque(maxlen=NOTES)
        self.phase: Phase | None = None
        self.ended: Ended | None = None
        self.pid = 0
        self.kept = 0
        """The step that a trainer who takes the run up goes on from."""
        self.count = 0
        """Events so far."""
        self.time = 0.0
        """Of the last event."""
        self._session_began = 0.0
        self._before = 0.0
        self._marks: deque[tuple[float, int]] = deque()

    def extend(self, events: Iterable[Event]) -> None:
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        self.count += 1
        self.progress.add(event)
        if isinstance(event, Step):
            self._add_step(event)
        elif isinstance(event, Phase):
            self._add_phase(event)
        elif isinstance(event, Sample):
            self.samples.append(event)
        elif isinstance(event, Checkpoint):
            self.kept = event.step
        elif isinstance(event, Started):
            self._begin(event)
        elif isinstance(event, Ended):
            self.ended, self.phase = event, None
        self.time = event.time
        note = sentence(event)
        if note is not None:
            self.notes.append(note)

    def elapsed(self, now: float) -> float:
        """Seconds that trainers have worked on the run, until ``now`` if one still does."""
        end = now if self.ended is None else self.ended.time
        return self._before + max(0.0, end - self._session_began) if self._session_began else 0.0

    @property
    def speed(self) -> float:
        """Units of the phase in hand in a second; 0 while it cannot be told."""
        if len(self._marks) < 2:
            return 0.0
        (began, first), (ended, last) = self._marks[0], self._marks[-1]
        return (last - first) / (ended - began) if ended > began else 0.0

    def _begin(self, event: Started) -> None:
        """A trainer takes the run up: what an earlier one did beyond that step is void."""
        if self._session_began:
            self._before += max(0.0, self.time - self._session_began)
        self._session_began, self.ended, self.phase, self.pid = event.time, None, None, event.pid
        self.kept = event.resumed_from
        self.curves.cut(event.resumed_from)
        self.samples = [sample for sample in self.samples if sample.step <= event.resumed_from]

    def _add_step(self, event: Step) -> None:
        curves = self.curves
        if curves.step and event.step <= curves.step[-1]:  # the line that said so is damaged
            curves.cut(event.step - 1)
        curves.step.append(event.step)
        curves.loss.append(event.loss)
        curves.smooth.append(self.progress.loss)
        curves.rate.append(event.learning_rate)
        curves.norm.append(event.grad_norm)

    def _add_phase(self, event: Phase) -> None:
        marks = self._marks
        if self.phase is None or self.phase.name != event.name or (marks and event.done < marks[-1][1]):
            marks.clear()
        self.phase = event
        marks.append((event.time, event.done))
        while marks[0][0] < event.time - SPEED_WINDOW:
            marks.popleft()


def sentence(event: Event) -> Note | None:
    """What the event is to a person; None for the many that only move a number."""
    if isinstance(event, Log):
        return Note(event.time, event.message, "warning" if event.level == "warning" else "info")
    if isinstance(event, Sample):
        return Note(event.time, f"Sample at step {event.step}: {event.path}")
    if isinstance(event, Checkpoint):
        return Note(event.time, f"Checkpoint at step {event.step}: {format_bytes(event.size)} in {event.seconds:.1f} s")
    if isinstance(event, Started):
        words = f"going on from step {event.resumed_from}" if event.resumed_from else "starting"
        return Note(event.time, f"Trainer {event.pid}, {words}.")
    if isinstance(event, Ended):
        level = {"done": "good", "failed": "error"}.get(event.reason, "warning")
        return Note(event.time, event.message or f"{event.reason.capitalize()} at step {event.step}.", level)
    return None
