"""Checkpoints written by a thread while the training goes on, one at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch

from dbtui.core import paths
from dbtui.core.run import Run
from dbtui.engine.checkpoint import write_checkpoint
from dbtui.engine.learner import Learner
from dbtui.engine.snapshot import Photographer, Snapshot


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that is on the disk: its bytes, seconds from beginning to end, and those that the training stood."""

    step: int
    name: str
    size: int
    seconds: float
    stalled: float


class Saver:
    """Writes the checkpoints of ``run``, of which the newest ``keep`` stay."""

    def __init__(self, run: Run, keep: int) -> None:
        self._run, self._keep = run, keep
        self._photographer = Photographer()
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[Saved] | None = None
        self.step = -1
        """That of the checkpoint in hand."""

    def begin(self, learner: Learner, step: int) -> None:
        """Set the state after ``step`` steps aside and begin to write it; the one before must have been ended."""
        began, self.step = time.monotonic(), step
        taken = self._photographer.take(learner)
        stalled = time.monotonic() - began
        self._writing = self._thread.submit(self._write, taken, step, began, stalled)
        if taken.memory is None:  # what is written must not change meanwhile
            self._writing.exception()

    @property
    def busy(self) -> bool:
        """Whether there is a checkpoint that was begun and not ended."""
        return self._writing is not None

    @property
    def over(self) -> bool:
        """Whether the checkpoint in hand can be ended without waiting."""
        return self._writing is not None and self._writing.done()

    def end(self) -> Saved:
        """Wait for the checkpoint in hand. Raises what writing it raised; then there is none in hand either."""
        assert self._writing is not None
        writing, self._writing = self._writing, None
        return writing.result()

    def _write(self, taken: Snapshot, step: int, began: float, stalled: float) -> Saved:
        with _side_stream(taken.ready):
            written = write_checkpoint(taken, self._run, step, self._keep)
        seconds = time.monotonic() - began
        stalled = seconds if taken.memory is None else stalled
        return Saved(step, written.path.name, paths.folder_size(written.path), seconds, stalled)


@contextlib.contextmanager
def _side_stream(ready: torch.cuda.Event | None) -> Iterator[None]:
    """Where a GPU copies without keeping the training from its stream, once ``ready``."""
    if ready is None:
        yield
        return
    ready.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        yield
