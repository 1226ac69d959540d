"""The export from the command line, and what is left of it when a process is killed or the disk is full."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dbtui.core.errors import DbtuiError
from dbtui.core.events import Phase
from dbtui.core.export import Order
from dbtui.core.library import Concept
from dbtui.core.weights import read_metadata
from dbtui.jobs.export import Exporter


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dbtui", "export", "bear", *arguments]


def process_of(exporter: Exporter) -> psutil.Process:
    (child,) = (p for p in psutil.Process().children() if p.cmdline()[-2:] == ["dbtui.engine", "export"])
    return child


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool], str], None]:
    pause = threading.Event()

    def wait(happened: Callable[[], bool], what: str) -> None:
        for _ in range(6000):
            if happened():
                return
            pause.wait(0.02)
        pytest.fail(f"waited in vain for {what}")

    return wait


def test_the_command_exports_replaces_and_tells_what_was_checked(bear: Concept, shelf: Path) -> None:
    file = shelf / "bear.safetensors"
    first = subprocess.run(command(str(file), "--half", "--json"), capture_output=True, text=True, timeout=240)
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert told["path"] == str(file) and told["format"] == "safetensors" and told["half"]
    assert told["size"] == file.stat().st_size and told["verified"] == {"tensors": 964, "picture": 128, "rounding": 0}
    assert "964 tensors are the same bit for bit" in first.stderr and "writing" in first.stderr
    assert read_metadata(file)["modelspec.architecture"]

    again = subprocess.run(command(str(file), "--json"), capture_output=True, text=True, timeout=240)
    assert again.returncode == 2 and "--overwrite" in json.loads(again.stdout)["error"]["hint"]
    assert os.listdir(shelf) == [file.name]


def test_a_process_that_is_killed_leaves_nothing(bear: Concept, shelf: Path, order: Callable[..., Order]) -> None:
    with pytest.raises(DbtuiError, match="code -9"), Exporter(order("diffusers")) as exporter:
        for phase in exporter.follow():
            if phase.name == "loading the export":
                assert list(shelf.iterdir()), "what is to be tidied up is not there"
                process_of(exporter).kill()
    assert not list(shelf.iterdir()) and exporter.exported is None


def test_a_cancelled_export_leaves_nothing(bear: Concept, shelf: Path, order: Callable[..., Order]) -> None:
    seen: list[Phase] = []
    with Exporter(order("ckpt")) as exporter:
        for phase in exporter.follow():
            seen.append(phase)
            if phase.name == "loading the export":
                assert list(shelf.iterdir()), "what is to be tidied up is not there"
                exporter.cancel()
    assert seen[-1].name != "putting it in its place"
    assert not list(shelf.iterdir()) and exporter.exported is None


@pytest.fixture
def started(bear: Concept, shelf: Path) -> Iterator[subprocess.Popen[bytes]]:
    def heed_interrupts() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs, as these tests may be, ignore them

    with subprocess.Popen(
        command(str(shelf / "bear")), stderr=subprocess.DEVNULL, preexec_fn=heed_interrupts
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_a_command_that_goes_takes_everything_along(
    number: signal.Signals, started: subprocess.Popen[bytes], shelf: Path, wait_until: Callable
) -> None:
    wait_until(lambda: any(shelf.glob(".bear.*.partial")), "the export to come about")
    (engine,) = psutil.Process(started.pid).children()
    started.send_signal(number)
    assert started.wait(timeout=60) == (130 if number == signal.SIGINT else -number)
    wait_until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE, "the engine to end")
    assert not list(shelf.iterdir())


def test_a_disk_that_fills_up_leaves_nothing(bear: Concept, shelf: Path) -> None:
    """A limit on the size of files stands for the disk: the system refuses the write in the same way."""
    most = 6 << 20
    full = subprocess.run(
        command(str(shelf / "bear.ckpt")),
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    assert full.returncode == 1 and "could not be written" in full.stderr and "File too large" in full.stderr
    assert not list(shelf.iterdir())
