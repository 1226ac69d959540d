"""The app's sampler process: warm between prompts and screens, one job at a time; what it says becomes messages."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from textual.message import Message
from textual.message_pump import MessagePump

from dbtui.app.bridge import behind
from dbtui.app.messages import DrawingEnded, DrawingProgress, DrawingSaid, PictureDrawn, PicturesForming
from dbtui.app.screens.base import as_error
from dbtui.core import paths
from dbtui.core.errors import DbtuiError

if TYPE_CHECKING:
    from PIL import Image

    from dbtui.jobs.generate import Request, Sampler

ENDING = 0.5
"""Seconds that the process has to end by itself when the app is left; what it has finished is on disk."""


class Job:
    """Pictures that were asked for."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.cancelled = Event()
        self.kept = 0
        """Finished pictures that a person knows of."""

    @property
    def pictures(self) -> list[Path]:
        """The finished ones, known of or not."""
        return sorted(Path(self.request.out).glob("[0-9]*.png"))


class Studio:
    """Starts its process at the first job."""

    def __init__(self) -> None:
        self._sampler: Sampler | None = None
        self._busy = Lock()
        self._current: Job | None = None
        self._closed = Event()

    @property
    def pid(self) -> int | None:
        """Of the sampler process, while there is one."""
        return self._sampler.pid if self._sampler else None

    def draw(self, screen: MessagePump, job: Job) -> None:
        """Carry out ``job`` once no other is in hand, in a worker thread; the last message is a DrawingEnded."""
        finished, problem = False, None
        with self._busy:
            self._current = job
            try:
                finished = not job.cancelled.is_set() and not self._closed.is_set() and self._follow(screen, job)
            except (DbtuiError, OSError) as error:
                problem = None if job.cancelled.is_set() or self._closed.is_set() else as_error(error)
            self._current = None
        with contextlib.suppress(OSError):
            Path(job.request.out).rmdir()  # unless there is a picture in it
        screen.post_message(DrawingEnded(job, finished, problem))

    def cancel(self, job: Job) -> None:
        """End ``job`` at its next denoising step, or before it begins; the process stays."""
        job.cancelled.set()
        if self._sampler is not None and self._current is job:
            self._sampler.cancel()

    def rest(self) -> None:
        """Give up the process and its memory; the next job starts another."""
        sampler, self._sampler = self._sampler, None
        if sampler is not None:
            sampler.close(ENDING)

    def close(self) -> None:
        """End the process for good."""
        self._closed.set()
        self.rest()

    def _follow(self, screen: MessagePump, job: Job) -> bool:
        """Whether all was drawn. Raises DbtuiError."""
        if self._sampler is None:
            from dbtui.jobs.generate import Sampler

            self._sampler = Sampler(paths.make_private(paths.data_dir()) / "sampler.log")
        sampler = self._sampler
        for said in sampler.ask(job.request):
            if job.cancelled.is_set():  # it may have been told before it had begun
                sampler.cancel()
            elif said["kind"] == "done":
                return True
            elif said["kind"] in MESSAGES and not (said["kind"] == "preview" and behind(screen)):
                screen.post_message(MESSAGES[said["kind"]](job, said))
        return False


MESSAGES: dict[str, Callable[[Job, dict[str, Any]], Message]] = {
    "loading": lambda job, said: DrawingProgress(job, 0, 0),
    "progress": lambda job, said: DrawingProgress(job, said["done"], said["total"]),
    "notice": lambda job, said: DrawingSaid(job, said["words"]),
    "preview": lambda job, said: PicturesForming(job, said["first"], [_decode(text) for text in said["pictures"]]),
    "picture": lambda job, said: PictureDrawn(job, said["index"], Path(said["path"]), said["seed"]),
}
"""What the sampler says, by its kind."""


def _decode(text: str) -> Image.Image | None:
    from PIL import Image

    try:
        image = Image.open(BytesIO(base64.b64decode(text)), formats=["PNG"])
        image.load()
        return image
    except (OSError, ValueError, SyntaxError, binascii.Error):
        return None
