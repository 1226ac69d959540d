"""The rows of the library: concepts, and the runs that have not become one. Imports no Textual."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from dbtui.core import paths
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.library import Concept, concept_folders, read_concept
from dbtui.core.run import Run, runs

ORDER = {"live": 0}
"""States that come before all others."""


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
    """Bytes on disk; None until they have been counted."""

    @property
    def preview(self) -> Path | None:
        """The newest picture of it."""
        if self.concept is not None:
            return self.concept.preview
        grids = sorted((self.path / "samples").glob("step-*.png"))
        return grids[-1] if grids else None

    def has(self, word: str) -> bool:
        """Whether ``word`` is in what the table shows of it."""
        return word.casefold() in f"{self.name} {self.state} {self.base} {self.prompt}".casefold()


class Catalog:
    """Reads the library again and again, and each folder only if it has changed."""

    def __init__(self) -> None:
        self._entries: dict[Path, tuple[float, Entry]] = {}
        self._sizes: dict[Path, tuple[float, int]] = {}

    def read(self) -> list[Entry]:
        """All entries: live ones first, then the newest. Raises DbtuiError if the folder cannot be read."""
        try:
            data = paths.data_dir()
            if data.exists() and not data.is_dir():
                raise NotADirectoryError(f"{data} is not a folder")
            known = [self._of_concept(folder) for folder in concept_folders()]
            taught = {entry.run.path for entry in known if entry.run}
            others = [self._of_run(run) for run in runs() if run.path not in taught]
        except OSError as error:
            raise DbtuiError(
                "The library cannot be read",
                f"{printable(error)}. Nothing in it was changed.",
                "`dbtui where` tells its folder. Mend it, or set DBTUI_HOME to another one.",
            ) from error
        entries = [self._with_size(entry) for entry in known + others]
        return sorted(entries, key=lambda e: (ORDER.get(e.state, 1), -e.created, e.name))

    def measured(self, entry: Entry) -> Entry:
        """``entry`` with its size on disk, counted again if its folder has changed."""
        changed = _changed(entry.path)
        known = self._sizes.get(entry.path)
        if known is None or known[0] != changed:
            self._sizes[entry.path] = changed, paths.folder_size(entry.path)
        return self._with_size(entry)

    def _with_size(self, entry: Entry) -> Entry:
        """``entry`` with the size that was counted last."""
        known = self._sizes.get(entry.path)
        return entry if known is None else replace(entry, size=known[1])

    def _of_concept(self, folder: Path) -> Entry:
        changed = max(_changed(folder), _changed(folder / "concept.toml"))
        known = self._entries.get(folder)
        if known is None or known[0] != changed:
            known = self._entries[folder] = changed, _of_concept(read_concept(folder))
        return known[1]

    def _of_run(self, run: Run) -> Entry:
        changed = max(_changed(run.journal), _changed(run.path / "config.toml"))
        known = self._entries.get(run.path)
        if known is None or known[0] != changed or known[1].state == "live" or run.trainer() is not None:
            known = self._entries[run.path] = changed, _of_run(run)
        return known[1]


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
