"""The folder of a run: the only thing that the trainer and its viewers share."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import psutil

from dbtui.core import paths
from dbtui.core.config import Config
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.events import Ended, Started, Step
from dbtui.core.journal import last_events

REQUESTS = ("stop", "save", "sample")

LOST = (
    "The trainer is gone and left no word: it may have been killed, as for want of memory, or its machine switched off, "
    "or its disk full."
)
"""What is to be said of a run whose trainer said nothing at its end."""


@dataclass(frozen=True, slots=True)
class State:
    """How a run stands: live, done, stopped, failed, lost or new; and what it said at its end."""

    name: str
    step: int = 0
    message: str = ""
    hint: str = ""
    concept: str = ""

    @property
    def over(self) -> bool:
        return self.name != "live"


@dataclass(frozen=True)
class Run:
    """A run by its folder. Creating the object reads nothing."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @cached_property
    def config(self) -> Config:
        """What was asked. Raises UsageError if the file is damaged."""
        return Config.read(self.path / "config.toml")

    @classmethod
    def create(cls, config: Config, pictures: list[dict[str, Any]], photos: Path | None = None) -> Run:
        """A new run folder. ``pictures`` are the photos' paths and hashes: a run never learns from others.

        ``photos`` is a folder that nobody else keeps; it is copied, and the run learns from its copy.
        """
        stamp = time.strftime("%Y%m%d-%H%M%S")
        paths.make_private(paths.runs_dir())
        for attempt in range(1, 1000):
            suffix = f"-{attempt}" if attempt > 1 else ""
            destination = paths.runs_dir() / f"{stamp}-{config.concept.name}{suffix}"
            with contextlib.suppress(FileExistsError):
                with paths.whole_folder(destination) as folder:
                    if photos is not None:
                        kept = destination / "photos"
                        shutil.copytree(photos, folder / kept.name)
                        config = config.replace({"data.folder": str(kept)})
                        pictures = [{**p, "path": str(kept / Path(p["path"]).name)} for p in pictures]
                    (folder / "config.toml").write_text(config.to_toml(), encoding="utf-8")
                    (folder / "pictures.json").write_text(json.dumps(pictures, indent=1), encoding="utf-8")
                    for name in ("control", "samples", "checkpoints"):
                        (folder / name).mkdir(mode=0o700)
                return cls(destination)
        raise AssertionError("a thousand runs in one second")

    def sources(self) -> list[dict[str, Any]]:
        """The photos of this run: ``path`` and ``sha256`` of each."""
        return json.loads((self.path / "pictures.json").read_text(encoding="utf-8"))

    def request(self, kind: str, **details: Any) -> None:
        """Ask the trainer for ``stop``, ``save`` or ``sample``; it takes requests between steps."""
        if kind not in REQUESTS:
            raise ValueError(f"no request {kind!r}")
        folder = paths.make_private(self.path / "control")
        name = kind if kind != "sample" else f"sample-{time.time_ns()}"
        paths.write_atomic(folder / f"{name}.json", json.dumps({"request": kind, **details}))

    def take_stop(self) -> bool:
        """Whether a stop was asked for; true once for each request."""
        try:
            os.unlink(self.path / "control" / "stop.json")
        except FileNotFoundError:
            return False
        return True

    def take_requests(self) -> list[dict[str, Any]]:
        """The waiting requests to save and to sample, oldest first, each once. Damaged ones are dropped."""
        taken = []
        for file in sorted((self.path / "control").glob("s*.json")):
            if file.name == "stop.json":
                continue
            with contextlib.suppress(OSError, ValueError):
                request = json.loads(file.read_text(encoding="utf-8"))
                if isinstance(request, dict) and request.get("request") in REQUESTS:
                    taken.append(request)
            file.unlink(missing_ok=True)
        return taken

    def claim(self, patience: float = 0.0) -> IO[bytes]:
        """Say in ``process.json`` that this process trains the run, and hold its lock until the result is closed.

        Raises DbtuiError if another trainer still holds it after ``patience`` seconds.
        """
        lock = open(self.path / "lock", "ab")
        deadline = time.monotonic() + patience
        while not _locked(lock):
            if time.monotonic() >= deadline:
                lock.close()
                raise DbtuiError(
                    "The run has a trainer", f"{self.id} is being trained.", "Watch it with `dbtui follow`."
                )
            time.sleep(0.05)
        process = psutil.Process()
        record = {
            "pid": process.pid,
            "started": process.create_time(),
            "uptime": _uptime_at_start(process),
            "claimed": time.time(),
        }
        paths.write_atomic(self.path / "process.json", json.dumps(record))
        return lock

    def release(self, lock: IO[bytes]) -> None:
        """Undo ``claim``: the run is free while this process still tidies up."""
        (self.path / "process.json").unlink(missing_ok=True)
        lock.close()

    def trainer(self) -> tuple[int, float] | None:
        """Process number of the live trainer, and when it claimed the run.

        A process that merely has its old number is not it. (The start time that the system tells may be
        off by a second, which is too coarse to compare with the journal.)
        """
        try:
            record = json.loads((self.path / "process.json").read_text(encoding="utf-8"))
            process = psutil.Process(int(record["pid"]))
            started = process.create_time()
            # The one or the other stays what it was when the clock is set, whichever the system counts from.
            same = abs(started - float(record["started"])) < 2
            same = same or abs(_uptime_at_start(process) - float(record.get("uptime", "nan"))) < 2
            alive = same and process.status() != psutil.STATUS_ZOMBIE
            return (process.pid, float(record.get("claimed", started))) if alive else None
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            return None

    def state(self) -> State:
        """Derived: a live trainer, else the journal's end, else lost; ``new`` before the first trainer."""
        events = last_events(self.journal)
        step = next((e.step for e in reversed(events) if isinstance(e, (Step, Ended))), 0)
        last = next((e for e in reversed(events) if isinstance(e, (Started, Ended))), None)
        trainer = self.trainer()
        if isinstance(last, Ended) and (trainer is None or trainer[1] < last.time):
            return State(last.reason, last.step, last.message, last.hint, last.concept)
        if trainer is not None:
            return State("live", step)
        return State("lost", step) if events else State("new")


def _uptime_at_start(process: psutil.Process) -> float:
    """Seconds that the machine had been up when the process was started."""
    return process.create_time() - psutil.boot_time()


def _locked(lock: IO[bytes]) -> bool:
    """Whether this process has got the lock; a file system without locks refuses nobody."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def runs() -> list[Run]:
    """All runs, newest first."""
    folder = paths.runs_dir()
    if not folder.is_dir():
        return []
    with os.scandir(folder) as found:  # which tells what is a folder without a look at each
        names = [entry.name for entry in found if entry.is_dir() and not entry.name.startswith(".")]
    return [Run(folder / name) for name in sorted(names, reverse=True)]


def run_of_name(name: str) -> Run | None:
    """The newest run that was to make the concept ``name``."""
    for run in runs():
        with contextlib.suppress(UsageError):
            if run.config.concept.name == name:
                return run
    return None


def find_run(word: str) -> Run:
    """The run with this id, or the newest one of the concept with this name. Raises UsageError."""
    by_id = paths.runs_dir() / word
    if word and by_id.parent == paths.runs_dir() and ".." not in word and os.path.isfile(by_id / "config.toml"):
        return Run(by_id)
    from dbtui.core.library import find_concept

    run: Run | None = None
    with contextlib.suppress(UsageError):
        origin = find_concept(word).run
        if origin == Path(origin).name and (paths.runs_dir() / origin / "config.toml").is_file():
            run = Run(paths.runs_dir() / origin)
    by_name = run_of_name(word)
    if by_name is not None and (run is None or by_name.id > run.id):
        run = by_name
    if run is None:
        raise UsageError(
            f"There is no run {printable(word)!r}", "No run has this id or this concept's name.", "See `dbtui ls`."
        )
    return run
