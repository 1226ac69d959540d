"""What workers tell the screens. Those that come often replace an older one that still waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from PIL.Image import Image

    from dbtui.app.entries import Entry
    from dbtui.app.snapshot import Snapshot
    from dbtui.app.studio import Job
    from dbtui.app.tasks import Saving
    from dbtui.core.dataset import Report
    from dbtui.core.errors import DbtuiError
    from dbtui.core.gallery import Grid
    from dbtui.core.library import Concept
    from dbtui.core.prompts import Asked
    from dbtui.core.run import Run
    from dbtui.jobs.begin import Checked
    from dbtui.jobs.forecast import Forecast
    from dbtui.jobs.gpus import Gpu
    from dbtui.jobs.replay import Replay


@dataclass
class RunChanged(Message):
    """A run as it stands."""

    snapshot: Snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RunChanged)


@dataclass
class GpusRead(Message):
    """The machine's GPUs, or why there is none."""

    gpus: Sequence[Gpu]
    reason: str

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, GpusRead)


@dataclass
class LibraryRead(Message):
    """All concepts and runs, or why they cannot be read; those that are known by now unless it is ``whole``."""

    entries: Sequence[Entry]
    problem: DbtuiError | None = None
    whole: bool = True

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, LibraryRead)


@dataclass
class FolderRead(Message):
    """The pictures of a folder by their names, or why it cannot be read."""

    folder: Path
    pictures: Sequence[Path]
    problem: DbtuiError | None = None


@dataclass
class PictureRead(Message):
    """The album has a picture, or knows why it cannot be shown."""

    path: Path


@dataclass
class PhotosReported(Message):
    """What is to be said of a folder's photos, or how far the look at them is."""

    folder: Path
    report: Report | None = None
    problem: DbtuiError | None = None
    done: int = 0
    total: int = 0


@dataclass
class Foreseen(Message):
    """What a run of the draft will need, or why there can be none; ``key`` is the field that is to blame, if one is.

    Neither, while the hub is being asked.
    """

    number: int
    """Of the question that this answers."""
    forecast: Forecast | None = None
    problem: DbtuiError | None = None
    key: str = ""


@dataclass
class Starting(Message):
    """How far the start of a run is, in words."""

    words: str

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Starting)


@dataclass
class ReadyToStart(Message):
    """A run that can begin once a person agrees to the download of its model."""

    checked: Checked


@dataclass
class OpenParameters(Message):
    """The photos are chosen."""


@dataclass
class OpenRun(Message):
    """The run is to be seen: it was chosen, or has just begun."""

    run: Run
    replay: Replay | None = None
    """Where it is seen again, and not as it stands."""


@dataclass
class OpenPrompt(Message):
    """Pictures are to be drawn with a concept, or with the embedded model as it is."""

    concept: Concept | None


@dataclass
class OpenCompare(Message):
    """A concept, or a run that has not become one, is to be compared with how it was before."""

    subject: Concept | Run


@dataclass
class DrawingProgress(Message):
    """Denoising steps of a job that are done; of 0 while the model is loaded."""

    job: Job
    done: int
    total: int

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, DrawingProgress)


@dataclass
class DrawingSaid(Message):
    """Something to know about a job."""

    job: Job
    words: str


@dataclass
class PicturesForming(Message):
    """What a job's pictures from ``first`` on will about look like."""

    job: Job
    first: int
    pictures: Sequence[Image | None]

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, PicturesForming)


@dataclass
class PictureDrawn(Message):
    """A picture of a job is finished."""

    job: Job
    index: int
    path: Path
    seed: int


@dataclass
class DrawingEnded(Message):
    """A job is over: finished, cancelled, or failed."""

    job: Job
    finished: bool
    problem: DbtuiError | None


@dataclass
class GridRead(Message):
    """A grid that was drawn before, and where it stands among all of its kind; None if there is none."""

    asked: int | None
    """The place that was asked for; None for the newest."""
    folders: Sequence[Path]
    place: int
    grid: Grid | None


@dataclass
class PromptsRead(Message):
    """The kept prompts, the newest last, and what is wrong with their file."""

    prompts: Sequence[Asked]
    problem: str = ""


@dataclass
class AlreadyThere(Message):
    """A file that would have been replaced was not."""

    saving: Saving


@dataclass
class OpenNew(Message):
    """A new concept is to be taught."""


@dataclass
class Done(Message):
    """Something that was asked for has been done."""

    words: str


@dataclass
class Failed(Message):
    """Something that was asked for could not be done."""

    error: DbtuiError
