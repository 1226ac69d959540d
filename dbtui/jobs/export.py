"""An export by a process of its own: started, followed, cancelled, and tidied up after if it is killed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dbtui.core.errors import DbtuiError
from dbtui.core.events import Phase, from_values
from dbtui.core.export import Order
from dbtui.jobs.wire import EngineProcess, failure

PATIENCE = 20.0
"""Seconds in which a process that was told to end tidies up; a library that it is in may take a few."""


@dataclass(frozen=True, slots=True)
class Exported:
    """An export that is in its place: bytes, and the tensors and the picture (pixels a side) that were compared.

    ``rounding`` is how far apart two values of the pictures were at most, of 1.
    """

    path: Path
    size: int
    tensors: int
    picture: int
    rounding: float

    def words(self) -> str:
        """What the comparison was."""
        but = f" but for rounding ({self.rounding:.0e})" if self.rounding else ""
        return (
            f"Checked with plain diffusers: {self.tensors:,} tensors are the same bit for bit, "
            f"and so is a picture of {self.picture} pixels from a fixed seed{but}."
        )


class Exporter:
    """The process that carries out one order, from entering this to leaving it."""

    def __init__(self, order: Order, log: Path | None = None) -> None:
        self.order = order
        self.exported: Exported | None = None
        """Set once the export is in its place; None after ``follow`` if it was cancelled."""
        self._log = log
        self._process: EngineProcess | None = None
        self._partial: Path | None = None
        self._cancelled = False

    def __enter__(self) -> Exporter:
        self._process = EngineProcess("export", self._log)
        self._process.send(asdict(self.order))
        if self._cancelled:
            self._process.terminate()
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end(PATIENCE)
        self._tidy_up()

    def follow(self) -> Iterator[Phase]:
        """What is being done, until it is; then ``exported`` is set unless it was cancelled.

        Raises DbtuiError if the export failed, or if the process was killed.
        """
        assert self._process is not None
        for message in self._process.messages():
            # What was interrupted in the middle of an import may end in any error.
            if message["kind"] == "cancelled" or (message["kind"] == "failed" and self._cancelled):
                return
            if message["kind"] == "done":
                self._take(message)
                return
            if message["kind"] == "failed":
                raise failure(message)
            if message["kind"] == "partial":
                self._partial = Path(message["path"])
            elif isinstance(event := from_values(message), Phase):
                yield event
        code = self._process.wait()
        self._tidy_up()
        if self._cancelled:  # before it could take the signal for what it is
            return
        raise DbtuiError(
            "The export died",
            f"Its process ended with code {code}. Nothing of it was left; the concept is as it was.",
            "Try again; if it was out of memory, close other programs first.",
        )

    def cancel(self) -> None:
        """Ask for the end; ``follow`` returns once everything is tidied up. Safe from another thread."""
        self._cancelled = True
        if self._process is not None:
            self._process.terminate()

    def _take(self, message: dict[str, Any]) -> None:
        self._partial = None
        found = {name: message[name] for name in ("size", "tensors", "picture", "rounding")}
        self.exported = Exported(self.order.path, **found)

    def _tidy_up(self) -> None:
        """Remove what a killed process left; one that was asked to end has done so itself."""
        partial, self._partial = self._partial, None
        if partial is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(partial) if partial.is_dir() else partial.unlink()
