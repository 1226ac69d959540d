"""What a person asks for that takes a moment: each runs in a worker thread, and raises DbtuiError if it cannot be.

What only one of them needs is imported by it, so that the library is not kept waiting for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message_pump import MessagePump

from dbtui.app.messages import AlreadyThere, Done, Failed, GridRead, OpenRun, PromptsRead, TableWritten
from dbtui.core import paths
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.library import Concept, rename_concept
from dbtui.core.removal import folders_of, remove
from dbtui.core.run import Run
from dbtui.core.subjects import SUBJECTS
from dbtui.core.units import format_bytes
from dbtui.jobs.launch import launch

if TYPE_CHECKING:
    from dbtui.app.entries import Entry
    from dbtui.core.config import Config
    from dbtui.core.prompts import Asked


def demo_config(subject: str = "teddy-bear") -> Config:
    """The embedded model, taught one of its sample subjects."""
    from dbtui.core.presets import assemble

    chosen = SUBJECTS[subject]
    return assemble("mini", None, {"data.folder": str(chosen.folder), "concept.prompt": chosen.prompt})


def begin_run(screen: MessagePump, config: Config) -> None:
    """Check what was asked, and start its trainer."""
    from dbtui.jobs.begin import begin, check

    run = begin(check(config))
    launch(run)
    screen.post_message(OpenRun(run))


def resume_run(screen: MessagePump, run: Run) -> None:
    """Start a trainer that takes ``run`` up from its last checkpoint."""
    launch(run)
    screen.post_message(OpenRun(run))


def ask(screen: MessagePump, run: Run, request: str, words: str, **details: str) -> None:
    """Leave a request for the trainer: ``stop``, ``save`` or ``sample``."""
    run.request(request, **details)
    screen.post_message(Done(words))


def rename(screen: MessagePump, name: str, new: str) -> None:
    concept = rename_concept(name, new)
    screen.post_message(Done(f"{name} is called {concept.name}."))


def what_goes(entry: Entry) -> str:
    """What deleting ``entry`` would delete, in a sentence."""
    folders = folders_of(_subject(entry))
    size = format_bytes(sum(paths.folder_size(folder) for folder in folders))
    return f"{size} would go for good:\n" + "\n".join(str(folder) for folder in folders)


def delete(screen: MessagePump, entry: Entry) -> None:
    remove(_subject(entry))
    screen.post_message(Done(f"{entry.name} is deleted."))


def read_kept(screen: MessagePump, name: str, place: int | None = None) -> None:
    """Read one of the grids drawn with ``name`` before; the newest unless ``place`` tells which."""
    from dbtui.core.gallery import grid_folders, read_grid

    folders = grid_folders(name)
    place = len(folders) - 1 if place is None else max(0, min(place, len(folders) - 1))
    screen.post_message(GridRead(folders, place, read_grid(folders[place]) if folders else None))


def read_history(screen: MessagePump) -> None:
    from dbtui.core.prompts import read_prompts

    screen.post_message(PromptsRead(*read_prompts()))


def keep_prompts(screen: MessagePump, asked: Sequence[Asked]) -> None:
    """The pictures do not depend on it, so that a full disk is only told."""
    from dbtui.core.prompts import remember_prompts

    try:
        screen.post_message(PromptsRead(remember_prompts(asked)))
    except OSError as error:
        screen.post_message(Done(f"Prompts could not be kept: {printable(error)}."))


def write_table(
    screen: MessagePump,
    file: Path,
    cells: Sequence[Sequence[Path | None]],
    headings: list[str],
    prompts: list[str],
    note: str,
) -> None:
    """Put the pictures of a comparison, by rows, into one; ``note`` says how they were made."""
    from dbtui.core.dataset import UnusableError, open_picture
    from dbtui.core.grid import save_png
    from dbtui.core.table import make_table

    try:
        pictures = [[open_picture(cell) if cell else None for cell in row] for row in cells]
        words = "\n".join([*prompts, f"Columns: {' | '.join(headings)}", note])
        save_png(make_table(pictures, headings, prompts, note), file, words)
    except (OSError, UnusableError) as error:
        problem = DbtuiError("The table could not be made", f"{printable(error)}.", "Draw it again.")
        screen.post_message(Failed(problem))
    else:
        screen.post_message(TableWritten(file))


def destination_of(text: str, name: str) -> Path:
    """Where a picture that a person named ``text`` goes: a folder gets a file ``name``. Raises UsageError."""
    path = Path(text).expanduser().absolute()
    if path.is_dir():
        path = path / name
    if not path.suffix:
        path = path.with_name(f"{path.name}.png")
    if path.suffix.lower() != ".png":
        raise UsageError("Pictures are PNG files", f"{printable(path.name)} would not be one.", "End it with .png.")
    if not path.parent.is_dir():
        raise UsageError("There is no such folder", f"{printable(path.parent)} is not there.", "Make it first.")
    return path


def save_copy(screen: MessagePump, source: Path, destination: Path, replace: bool = False) -> None:
    """Copy a picture, whole or not at all; what is there already is asked about."""
    try:
        with paths.whole_file(destination, replace) as partial:
            shutil.copyfile(source, partial)
    except FileExistsError:
        screen.post_message(AlreadyThere(source, destination))
    except OSError as error:
        problem = DbtuiError("The picture could not be saved", f"{printable(error)}.", "Choose another place.")
        screen.post_message(Failed(problem))
    else:
        screen.post_message(Done(f"Saved as {printable(destination)}."))


def _subject(entry: Entry) -> Concept | Run:
    return entry.concept or Run(entry.path)
