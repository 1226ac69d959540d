"""A run at one moment, for drawing: made in a worker thread, never changed after. Imports no Textual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbtui.core.events import Phase, Sample, Step
from dbtui.core.history import Curves, History, Note
from dbtui.core.run import State


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the dashboard shows of a run. Times in seconds."""

    state: State
    curves: Curves
    steps: int
    """Planned optimizer steps; 0 before the trainer has said."""
    last: Step | None
    loss: float
    """Smoothed."""
    pace: float
    left: float
    elapsed: float
    phase: Phase | None
    speed: float
    """Units of the phase in a second; 0 if it cannot be told."""
    samples: Sequence[Sample]
    notes: Sequence[Note]
    pid: int
    kept: int
    """The step of the newest checkpoint; 0 if there is none."""
    read: float
    """The share of the journal that this has been made from."""
    full: bool
    """Whether the disk keeps a live trainer from saying more."""

    @property
    def step(self) -> int:
        return self.last.step if self.last else self.state.step


def take(history: History, state: State, now: float, read: float, curves: Curves, full: bool = False) -> Snapshot:
    """``history`` as it is at the time ``now``; ``curves`` is a copy of its curves that may be shared with other snapshots."""
    progress = history.progress
    now = now if state.name == "live" else history.time
    return Snapshot(
        state=state,
        curves=curves,
        steps=progress.steps,
        last=progress.last,
        loss=progress.loss,
        pace=progress.pace,
        left=progress.left,
        elapsed=history.elapsed(now),
        phase=history.phase,
        speed=history.speed,
        samples=tuple(history.samples),
        notes=tuple(history.notes),
        pid=history.pid,
        kept=history.kept,
        read=read,
        full=full and state.name == "live",
    )
