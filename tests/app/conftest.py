"""The app, driven by a pilot or in a terminal of its own, and journals to show in it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from screen_model import ScreenModel
from textual.pilot import Pilot

from dbtui.app.app import DbtuiApp
from dbtui.app.messages import OpenRun
from dbtui.app.screens.dashboard import DashboardScreen
from dbtui.app.studio import Studio
from dbtui.core import paths
from dbtui.core.config import Config
from dbtui.core.events import Checkpoint, Ended, Event, Log, Phase, Sample, Started, Step
from dbtui.core.journal import JournalWriter
from dbtui.core.library import Concept
from dbtui.core.prompts import prompts_file
from dbtui.core.run import Run
from dbtui.core.subjects import SUBJECTS
from tests.app.training import NOON, STARTED, UNDER_WAY

PATIENCE = 30.0
"""Seconds in which what is waited for must come; it takes one."""

DEVICE_ATTRIBUTES = b"\x1b[c"
"""The question that every terminal answers."""


class Terminal:
    """What the app writes, and what is typed."""

    def __init__(self, process: subprocess.Popen[bytes], handle: int) -> None:
        self.process, self._handle = process, handle
        self.written = b""
        self._screen = ScreenModel()

    @property
    def text(self) -> str:
        """The window, line by line."""
        return self._screen.text

    def read(self, seconds: float) -> bytes:
        """What comes in so many seconds."""
        chunks, deadline = [], time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._handle], [], [], left)[0]:
                try:
                    chunks.append(os.read(self._handle, 65536))
                except OSError:  # the app has gone
                    break
                if DEVICE_ATTRIBUTES in chunks[-1]:
                    os.write(self._handle, b"\x1b[?62c")
        self.written += b"".join(chunks)
        self._screen.write(b"".join(chunks))
        return b"".join(chunks)

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.text:
            assert time.monotonic() < deadline, f"{text!r} did not come; the window is\n{self.text}"
            self.read(0.1)

    def wait_until_quiet(self) -> None:
        """Until nothing has come for a second."""
        deadline = time.monotonic() + PATIENCE
        while self.read(1.0):
            assert time.monotonic() < deadline, "it never falls silent"

    def type(self, text: str) -> None:
        self.written = b""
        os.write(self._handle, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        self.written = b""
        fcntl.ioctl(self._handle, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does."""
        os.close(self._handle)
        self._handle = -1


@contextmanager
def open_terminal(columns: int, rows: int, *arguments: str, **environment: str) -> Iterator[Terminal]:
    """``dbtui`` in a terminal of this size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "dbtui", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        # The terminal is the program's own, so that a hang-up reaches it.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
    )
    os.close(theirs)
    terminal = Terminal(process, ours)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        if terminal._handle >= 0:
            os.close(ours)


@pytest.fixture
def terminal() -> Callable[..., AbstractContextManager[Terminal]]:
    """``with terminal(columns, rows, *arguments) as t``: the program in a terminal of this size."""
    return open_terminal


Script = Callable[["Driver"], Awaitable[None]]


class Driver:
    """The app under a pilot, and what it shows."""

    def __init__(self, app: DbtuiApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def text(self) -> str:
        """The window, line by line."""
        return "\n".join(strip.text.rstrip() for strip in self.app.screen._compositor.render_strips())

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.text
            await self.pilot.pause(0.02)

    async def open(self, run: Run) -> None:
        """Look at a run, until all of its journal has been read."""
        self.app.screen.post_message(OpenRun(run))
        await self.until(lambda: isinstance(self.app.screen, DashboardScreen) and self.app.screen.snapshot)
        await self.pilot.pause()

    async def sees(self, *words: str) -> None:
        """Wait until all the words are in the window."""
        await self.until(lambda: all(word in self.text for word in words))


@pytest.fixture
def drive() -> Callable[..., None]:
    """``drive(script, size)`` runs the app in a window of that size, and the script on it."""

    def run(script: Script, size: tuple[int, int] = (80, 24), **settings: Any) -> None:
        async def session() -> None:
            app = DbtuiApp(**settings)
            async with app.run_test(size=size, notifications=True) as pilot:
                await script(Driver(app, pilot))

        asyncio.run(session())

    return run


TRAINING = [
    "data.resolution=64", "training.steps=2", "training.batch_size=1", "training.checkpoint_every=1", "sampling.every=0",
]  # fmt: skip


@pytest.fixture(scope="session")
def taught_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the embedded model was taught ``bear`` in two steps; the run kept the first as a checkpoint."""
    home = tmp_path_factory.mktemp("taught")
    environment = {**os.environ, "DBTUI_HOME": str(home), "OMP_NUM_THREADS": "1"}
    subject = SUBJECTS["teddy-bear"]
    command = [sys.executable, "-m", "dbtui", "train", str(subject.folder), "--name", "bear", "--model", "mini"]
    options = [part for assignment in TRAINING for part in ("--set", assignment)]
    command += ["--prompt", subject.prompt, *options]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return home


class LentStudio(Studio):
    """Outlives the apps that use it, so that tests share one warm process."""

    def close(self) -> None:
        """The fixture ends it."""


@pytest.fixture(scope="session")
def lent_studio() -> Iterator[Studio]:
    studio = LentStudio()
    yield studio
    studio.rest()


@pytest.fixture
def bear(taught_home: Path, home: Path, lent_studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """The home with ``bear`` and no pictures, and the studio of the app that is opened in it."""
    monkeypatch.setenv("DBTUI_HOME", str(taught_home))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("dbtui.app.app.Studio", lambda: lent_studio)
    shutil.rmtree(paths.pictures_dir(), ignore_errors=True)
    prompts_file().unlink(missing_ok=True)
    return lent_studio


@pytest.fixture
def cub(bear: Studio) -> Iterator[Path]:
    """Another concept of the same home, which may be damaged."""
    folder = paths.concepts_dir() / "cub"
    shutil.copytree(paths.concepts_dir() / "bear", folder)
    toml = folder / "concept.toml"
    toml.write_text(re.sub("^run = .*", 'run = ""', toml.read_text(), flags=re.MULTILINE))  # bear's stays its own
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clock times as they are at Greenwich."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def step(number: int, **changes: Any) -> Step:
    """A step whose loss falls and jumps about."""
    loss = 0.2 / (1 + number / 30) + (number * 7919 % 13) / 200
    values = {
        "time": NOON + number, "step": number, "loss": loss, "instance_loss": loss, "learning_rate": 1e-4,
        "grad_norm": loss * 8, "seconds": 0.5, "epoch": number / 5,
    }  # fmt: skip
    return Step(**{**values, **changes})


@pytest.fixture
def steps() -> Callable[..., list[Step]]:
    """``steps(3, 5)`` are the steps from 3 to 5."""
    return lambda first, last, **changes: [step(number, **changes) for number in range(first, last + 1)]


@pytest.fixture
def run_with() -> Callable[..., Run]:
    """``run_with(events, "rex")`` is a run for the concept rex with these events in its journal."""

    def make(events: list[Event], name: str = "rex", **changes: Any) -> Run:
        run = Run.create(
            Config().replace({"concept.name": name, "concept.prompt": f"a photo of sks {name}", **changes}), []
        )
        os.utime(run.path / "config.toml", (NOON, NOON))
        journal = JournalWriter(run.journal)
        for event in events:
            journal.write(event)
        journal.close()
        return run

    return make


@pytest.fixture
def concept() -> Callable[..., Concept]:
    """``concept("mug")`` is a sound concept in the library, with a preview."""

    def make(name: str, **changes: Any) -> Concept:
        values: dict[str, Any] = {
            "name": name, "prompt": f"a photo of sks {name}", "base": "mini", "steps": 200, "resolution": 64,
            "created": NOON, "trained": {"unet": "0" * 64},
        }  # fmt: skip
        made = Concept(**{**values, **changes})
        (made.path / "unet").mkdir(parents=True)
        (made.path / "preview").mkdir()
        made.weights("unet").write_bytes(b"0" * 2_000_000)
        Image.new("RGB", (132, 64), "orange").save(made.path / "preview" / "step-000200.png")
        (made.path / "concept.toml").write_text(made.to_toml())
        return made

    return make


@pytest.fixture
def damaged_concept() -> Callable[[str], Path]:
    """``damaged_concept("cup")`` is the folder of an entry that cannot be used."""

    def make(name: str) -> Path:
        folder = paths.concepts_dir() / name
        folder.mkdir(parents=True)
        (folder / "concept.toml").write_text("version = ")
        return folder

    return make


@pytest.fixture
def library(concept: Any, damaged_concept: Any, run_with: Any, steps: Any) -> Any:
    """One of each; the run rex is live, and goes by the clock of its journal."""
    concept("mug", created=NOON - 90_000)
    concept("teapot", created=NOON - 180_000, prompt="a photo of sks teapot", steps=1200)
    os.utime(damaged_concept("cup"), (NOON - 270_000, NOON - 270_000))
    run = run_with(
        [
            Started(time=NOON, pid=4321, steps=500),
            Log(time=NOON + 2, message="Training Stable Diffusion (small) at 128 px."),
            Phase(time=NOON + 3, name="training", total=500, unit="steps"),
            *steps(1, 125),
            Sample(
                time=NOON + 126, step=125, path="samples/step-000125.png", prompts=["a photo of sks rex"], seeds=[1, 2]
            ),
            Checkpoint(time=NOON + 126.5, step=125, path="checkpoints/000125", size=204_000_000, seconds=0.5),
            Ended(
                time=NOON + 127,
                reason="stopped",
                step=125,
                message="Stopped (as asked). It can be resumed at step 125.",
            ),
        ]
    )
    Image.new("RGB", (132, 64), "orange").save(run.samples / "step-000125.png")
    return run


@pytest.fixture
def live(run_with: Any, steps: Any) -> Iterator[Run]:
    """A run that this process trains, of which 50 of 200 steps are done."""
    run = run_with([STARTED, UNDER_WAY, *steps(1, 50)])
    lock = run.claim()
    yield run
    lock.close()
