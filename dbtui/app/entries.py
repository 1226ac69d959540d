"""The rows of the library: concepts, and the runs that have not become one. Imports no Textual."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from dbtui.core import paths
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.library import Concept, concept_folders, read_concept
from dbtui.core.run import Run, runs

ORDER = {"live": 0}
"""States that come before all others."""

READERS = 4
"""Folders that are read at a time: each waits for its disk."""

PART = 0.3
"""Seconds of a first reading after which a part is told."""

Stamp = tuple[int, ...]

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Entry:
    """A concept or a run, as the table shows it."""

    key: str
    """``concept/rex`` or ``run/<id>``: the same for as long as the entry is there."""
    name: str
    state: str
    """live, done, stopped, failed, lost, new or damaged."""
    path: Path
    base: str = ""
    prompt: str = ""
    step: int = 0
    steps: int = 0
    created: float = 0.0
    resolution: int = 0
    problem: str = ""
    concept: Concept | None = None
    run: Run | None = None
    """The run itself, or the one that the concept came from."""
    size: int | None = None
    """Bytes on disk, with those of the training that a concept came from; None until they have been counted."""

    @property
    def preview(self) -> Path | None:
        """The newest picture of it."""
        if self.concept is not None:
            return self.concept.preview
        grids = sorted((self.path / "samples").glob("step-*.png"))
        return grids[-1] if grids else None

    @property
    def folders(self) -> list[Path]:
        """All that is kept of it."""
        return [self.path] if self.run is None or self.run.path == self.path else [self.path, self.run.path]

    def has(self, word: str) -> bool:
        """Whether ``word`` is in what the table shows of it."""
        return word.casefold() in f"{self.name} {self.state} {self.base} {self.prompt}".casefold()


class Catalog:
    """Reads the library again and again, and each folder only if it has changed."""

    def __init__(self) -> None:
        self._entries: dict[Path, tuple[Stamp, Entry]] = {}
        self._sizes: dict[Path, tuple[Stamp, int]] = {}
        self.whole = False
        """Whether all has been read once."""

    def read(self) -> Iterator[list[Entry]]:
        """All entries: live ones first, then the newest. Raises DbtuiError if the folder cannot be read.

        A first reading that takes long, from the disk of another machine, is told in parts, the newest concepts first;
        the last part is the whole.
        """
        try:
            data = paths.data_dir()
            if data.exists() and not data.is_dir():
                raise NotADirectoryError(f"{data} is not a folder")
            entries: list[Entry] = []
            told = time.monotonic()
            for entry in self._read():
                entries.append(entry)
                if not self.whole and time.monotonic() - told > PART:
                    told = time.monotonic()
                    yield _in_order(entries)
        except OSError as error:
            raise DbtuiError(
                "The library cannot be read",
                f"{printable(error)}. Nothing in it was changed.",
                "`dbtui where` tells its folder. Mend it, or set DBTUI_HOME to another one.",
            ) from error
        self.whole = True
        yield _in_order([self._with_size(entry) for entry in entries])

    def _read(self) -> Iterator[Entry]:
        """The concepts, and the runs that have not become one; for the first time, the newest of them first."""
        folders = concept_folders()
        if not self.whole:
            stamps = dict(zip(folders, _several(_stamp, folders), strict=True))
            folders.sort(key=lambda folder: stamps[folder], reverse=True)
        each = map if self.whole else _several
        taught = set()
        for entry in each(self._of_concept, folders):
            yield entry
            if entry.run is not None:
                taught.add(entry.run.path)
        yield from each(self._of_run, [run for run in runs() if run.path not in taught])

    def measured(self, entry: Entry) -> Entry:
        """``entry`` with its size on disk, counted again if a folder of it has changed."""
        changed = tuple(number for folder in entry.folders for number in _stamp(folder))
        known = self._sizes.get(entry.path)
        if known is None or known[0] != changed:
            self._sizes[entry.path] = changed, sum(map(paths.folder_size, entry.folders))
        return self._with_size(entry)

    def _with_size(self, entry: Entry) -> Entry:
        """``entry`` with the size that was counted last."""
        known = self._sizes.get(entry.path)
        return entry if known is None else replace(entry, size=known[1])

    def _of_concept(self, folder: Path) -> Entry:
        changed = _stamp(folder) + _stamp(folder / "concept.toml")
        known = self._entries.get(folder)
        if known is None or known[0] != changed:
            known = self._entries[folder] = changed, _of_concept(read_concept(folder))
        return known[1]

    def _of_run(self, run: Run) -> Entry:
        changed = _stamp(run.journal) + _stamp(run.path / "config.toml")
        known = self._entries.get(run.path)
        if known is None or known[0] != changed or known[1].state == "live" or run.trainer() is not None:
            known = self._entries[run.path] = changed, _of_run(run)
        return known[1]


def _several(read: Callable[[T], U], things: Sequence[T]) -> Iterator[U]:
    """``read`` of each thing in turn, of which a few are at work at a time."""
    pool = ThreadPoolExecutor(READERS)
    try:
        yield from pool.map(read, things)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _in_order(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda e: (ORDER.get(e.state, 1), -e.created, e.name))


def _stamp(path: Path) -> Stamp:
    """By which a change of a file or folder is known: when it was changed last (in ns), and how large it is."""
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return found.st_mtime_ns, found.st_size


def _changed(path: Path) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _of_concept(concept: Concept) -> Entry:
    origin = paths.runs_dir() / concept.run if concept.run and concept.run == Path(concept.run).name else None
    return Entry(
        key=f"concept/{concept.name}",
        name=concept.name,
        state="damaged" if concept.problem else "done",
        path=concept.path,
        base=concept.base,
        prompt=concept.prompt,
        step=concept.steps,
        steps=concept.steps,
        created=concept.created or _changed(concept.path),
        resolution=concept.resolution,
        problem=concept.problem,
        concept=concept,
        run=Run(origin) if origin is not None and (origin / "config.toml").is_file() else None,
    )


def _of_run(run: Run) -> Entry:
    created = _changed(run.path / "config.toml") or _changed(run.path)
    try:
        config = run.config
    except (UsageError, OSError) as error:
        return Entry(f"run/{run.id}", run.id, "damaged", run.path, created=created, problem=printable(error), run=run)
    state = run.state()
    return Entry(
        key=f"run/{run.id}",
        name=config.concept.name or run.id,
        state=state.name,
        path=run.path,
        base=config.model.base,
        prompt=config.concept.prompt,
        step=state.step,
        steps=config.training.steps,
        created=created,
        resolution=config.data.resolution if isinstance(config.data.resolution, int) else 0,
        problem=state.message,
        run=run,
    )
