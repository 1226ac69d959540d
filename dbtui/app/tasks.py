"""What a person asks for that takes a moment: each runs in a worker thread, and raises DbtuiError if it cannot be.

What only one of them needs is imported by it, so that the library is not kept waiting for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message_pump import MessagePump

from dbtui.app.messages import AlreadyThere, Done, Failed, GridRead, OpenPrompt, OpenRun, PromptsRead
from dbtui.core import paths
from dbtui.core.errors import DbtuiError, UsageError, obstacle, printable
from dbtui.core.library import Concept, find_concept, rename_concept
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


def begin_run(screen: MessagePump, config: Config, words: str) -> None:
    """Check what was asked, and start its trainer; ``words`` are said once it has begun."""
    from dbtui.jobs.begin import begin, check

    run = begin(check(config))
    launch(run)
    screen.post_message(Done(words))
    screen.post_message(OpenRun(run))


def resume_run(screen: MessagePump, run: Run) -> None:
    """Start a trainer that takes ``run`` up from its last checkpoint."""
    launch(run)
    screen.post_message(OpenRun(run))


def ask(screen: MessagePump, run: Run, request: str, words: str, **details: str) -> None:
    """Leave a request for the trainer: ``stop``, ``save`` or ``sample``."""
    run.request(request, **details)
    screen.post_message(Done(words))


def open_concept(screen: MessagePump, name: str) -> None:
    """Draw with the concept ``name``."""
    screen.post_message(OpenPrompt(find_concept(name)))


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
    found = len(folders) - 1 if place is None else max(0, min(place, len(folders) - 1))
    screen.post_message(GridRead(place, folders, found, read_grid(folders[found]) if folders else None))


def read_history(screen: MessagePump) -> None:
    from dbtui.core.prompts import read_prompts

    screen.post_message(PromptsRead(*read_prompts()))


def keep_prompts(screen: MessagePump, asked: Sequence[Asked]) -> None:
    """The pictures do not depend on it, so that a full disk is only told."""
    from dbtui.core.prompts import remember_prompts

    try:
        screen.post_message(PromptsRead(remember_prompts(asked)))
    except OSError as error:
        message, _ = obstacle(error, paths.data_dir())
        screen.post_message(
            Done(f"What is asked could not be kept for the next time. {message} It is drawn all the same.")
        )


def destination_of(text: str, name: str) -> Path:
    """Where a picture that a person named ``text`` goes: a folder gets a file ``name``. Raises UsageError."""
    path = Path(text).expanduser().absolute()
    if path.is_dir() or text.endswith("/"):
        path = path / name
    if not path.suffix:
        path = path.with_name(f"{path.name}.png")
    if path.suffix.lower() != ".png":
        raise UsageError("Pictures are PNG files", f"{printable(path.name)} would not be one.", "End it with .png.")
    if not path.parent.is_dir():
        raise UsageError("There is no such folder", f"{printable(path.parent)} is not there.", "Make it first.")
    return path


@dataclass(frozen=True, slots=True)
class Saving:
    """A picture that is to be in another place: ``write`` makes its file, from what is kept in ``source``."""

    write: Callable[[Path], object]
    source: Path
    destination: Path

    @classmethod
    def copy(cls, source: Path, destination: Path) -> Saving:
        return cls(partial(shutil.copyfile, source), source.parent, destination)


def save(screen: MessagePump, saving: Saving, replace: bool = False) -> None:
    """Write the file, whole or not at all; what is there already is asked about."""
    from dbtui.core.dataset import UnusableError

    destination, problem, hint = saving.destination, "", ""
    try:
        with paths.whole_file(destination, replace) as file:
            saving.write(file)
    except FileExistsError:
        screen.post_message(AlreadyThere(saving))
        return
    except UnusableError as error:
        problem, hint = f"{printable(error)}.", "Draw it again."
    except OSError as error:
        problem, hint = obstacle(error, destination.parent)
    if problem:
        kept = f"{problem} Nothing of it was left there; what was drawn is kept in {printable(saving.source)}."
        screen.post_message(Failed(DbtuiError("The picture could not be saved", kept, hint)))
    else:
        screen.post_message(Done(f"Saved as {printable(destination)}."))


def write_table(
    cells: Sequence[Sequence[Path | None]], headings: list[str], prompts: list[str], note: str, file: Path
) -> None:
    """Put the pictures of a comparison, by rows, into one; ``note`` says how they were made.

    Raises OSError, and UnusableError for a picture that has gone.
    """
    from dbtui.core.dataset import open_picture
    from dbtui.core.grid import save_png
    from dbtui.core.table import make_table

    pictures = [[open_picture(cell) if cell else None for cell in row] for row in cells]
    words = "\n".join([*prompts, f"Columns: {' | '.join(headings)}", note])
    save_png(make_table(pictures, headings, prompts, note), file, words)


def _subject(entry: Entry) -> Concept | Run:
    return entry.concept or Run(entry.path)
