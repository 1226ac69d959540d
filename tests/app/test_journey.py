"""From an empty library to an exported concept, in a real terminal, by nothing but the keyboard."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dbtui.core.events import Ended, Phase, Started
from dbtui.core.journal import JournalWriter
from dbtui.core.library import concepts
from dbtui.core.paths import pictures_dir
from dbtui.core.run import Run, runs
from dbtui.core.subjects import SUBJECTS
from tests.app.tmux import PATIENCE, Tmux, Window

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

BEAR = SUBJECTS["teddy-bear"]
NOON = 1_750_000_000.0


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    with Tmux(tmp_path) as tmux:
        yield tmux
    for run in runs():
        if (trainer := run.trainer()) is not None:
            psutil.Process(trainer[0]).kill()


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def trainer_of(run: Run) -> psutil.Process:
    trainer = run.trainer()
    assert trainer is not None
    return psutil.Process(trainer[0])


def clear(window: Window, empty: str) -> None:
    """Empty the line with the focus, which then looks like ``empty``."""
    window.keys("End", "C-u")
    window.until(lambda text: re.search(rf"\W{empty}\W*$", text, re.MULTILINE))


def choose_photos(window: Window, folder: Path) -> None:
    """From the library to the photos of a folder."""
    window.keys("n")
    window.sees("Photos", "Folder")
    window.keys("/")
    window.sees("tab Complete")
    clear(window, "Folder +a folder with photos")
    window.type(str(folder))
    window.keys("Enter")
    window.sees("5 photos, all usable")


def open_entry(window: Window, name: str) -> None:
    """Find an entry of the library by its name, and open it."""
    window.keys("/")
    window.sees("Show all")
    clear(window, "a word in the name, prompt, model or state .*")
    window.type(name)
    window.sees("1 of")
    window.keys("Enter")
    window.sees("Open")
    window.keys("Enter")


def step_out(window: Window, words: str) -> None:
    """Press Escape, which goes one step outwards, until the words are on the screen."""
    deadline = time.monotonic() + PATIENCE
    while words not in window.text:
        assert time.monotonic() < deadline, window.text
        window.keys("Escape")
        time.sleep(0.5)  # two at once would be another key


def helped(text: str) -> str:
    """What the help panel is about."""
    found = re.search(r"\u256d\u2500 help .*\n\u2502 (.*)", text)
    return found[1] if found else ""


def set_parameter(window: Window, label: str, value: str) -> None:
    """Go down to the parameter, and give it another value."""
    while not (here := helped(window.text)).startswith(label):
        window.keys("Down")
        window.until(lambda text, here=here: helped(text) not in ("", here))
    clear(window, label)
    window.type(value)
    window.until(lambda text: re.search(rf"{re.escape(label)}[^\n]* {re.escape(value)}", text))


def test_from_an_empty_library_to_an_export(tmux: Tmux, tmp_path: Path) -> None:
    window = tmux.open("journey", 80, 24)
    window.sees("Try the demo", "Teach a new concept")
    choose_photos(window, BEAR.folder)
    window.keys("c")
    window.sees("Parameters", "a photo of sks")
    window.type(" toy")
    window.keys("Up", "Up")
    window.sees("Preset balanced")
    window.keys("Right", "Right", "Right")
    window.sees("Preset mini", "Needs about")
    set_parameter(window, "Resolution", "64")
    set_parameter(window, "Steps", "4")
    window.sees("Needs about")
    window.keys("F5")
    window.sees("teddy-bear", "live")
    window.sees("Taught.", "4/4 steps", "100%")
    (concept,) = concepts()
    assert (concept.name, concept.prompt, concept.steps) == ("teddy-bear", "a photo of sks toy", 4)
    window.keys("q")
    window.sees("teddy-bear", "\u2713 done", "1 concept")

    window.keys("Enter")
    window.sees("Prompt", "a photo of sks toy", "rows", "guidance")
    window.type(" on the moon")
    window.keys("Tab", "Tab", "Tab", "Tab", "Tab")  # what is not wanted, weights, scheduler, guidance, rows
    for value in ("1", "2", "3"):  # rows, columns, steps
        window.type(value)
        window.keys("Tab")
    window.until(lambda text: re.search(r"rows +1 +columns +2 +steps +3 ", text))
    window.keys("F5")
    window.sees("on the moon", "\u00b7 3 steps", "r Reuse")
    wait_until(lambda: list(pictures_dir().rglob("grid.png")), "the whole grid is kept")
    assert len(list(pictures_dir().rglob("00?.png"))) == 2
    window.until(lambda text: len(re.findall("[\u2580-\u259f]", text)) > 50)
    step_out(window, "1 concept")

    file = tmp_path / "bear.safetensors"
    window.keys("e")
    window.sees("Export teddy-bear", "free there")
    clear(window, "to")
    window.type(str(file))
    window.sees("free there", "About")
    window.keys("Enter")
    window.sees("\u2713 Exported", "are the same bit for bit")
    assert file.stat().st_size > 70_000_000
    window.keys("Escape")
    window.until(lambda text: "Export teddy-bear" not in text)
    window.keys("q")
    window.ends()


def test_a_training_outlives_its_terminal_and_is_seen_by_two(tmux: Tmux) -> None:
    first = tmux.open("first", 80, 24)
    first.sees("Try the demo")
    choose_photos(first, BEAR.folder)
    first.keys("c")
    first.sees("Parameters", "a photo of sks")
    first.type(" toy")
    first.keys("Up", "Up", "Right", "Right", "Right")
    first.sees("Preset mini", "Needs about")
    set_parameter(first, "Resolution", "64")
    set_parameter(first, "Steps", "5000")  # more than the test takes, however quick the machine
    first.keys("F5")
    first.sees("/5,000 steps", "loss")
    (run,) = runs()
    trainer = trainer_of(run)

    first.kill()
    again = tmux.open("again", 80, 24)
    again.sees("teddy-bear", "live", "1 training")
    assert trainer.is_running() and trainer_of(run) == trainer, "the same trainer goes on"
    again.keys("Enter")
    again.sees("/5,000 steps", "live", "loss")

    beside = tmux.open("beside", 120, 36)
    beside.sees("teddy-bear", "live")
    beside.keys("Enter")
    beside.sees("/5,000 steps", "live", "gradient norm")
    again.keys("C-c")
    again.sees("Press Ctrl-C again", "Trainings go on")
    again.keys("C-c")
    again.ends()
    assert trainer.is_running()

    third = tmux.open("third", 100, 30)
    third.sees("teddy-bear", "live")
    third.keys("Enter")
    third.sees("/5,000 steps")
    beside.keys("s")
    beside.sees("Stop teaching teddy-bear?")
    beside.keys("y")
    for window in (beside, third):
        window.sees("Stopped", "stopped", "Continue")
    assert run.state().name == "stopped" and run.state().step > 0


def test_words_of_every_script_a_flood_of_them_and_a_storm_of_sizes(tmux: Tmux) -> None:
    window = tmux.open("words", 80, 24)
    window.sees("Teach a new concept")
    choose_photos(window, BEAR.folder)
    window.keys("c")
    window.sees("Parameters", "a photo of sks")
    clear(window, "Prompt")
    window.type("\u96ea\u306e\u4e2d\u306e sks \u043c\u0438\u0448\u043a\u0430 \u05d3\u05d5\u05d1 \U0001f9f8")
    text = window.sees("\u96ea\u306e\u4e2d\u306e sks \u043c\u0438\u0448\u043a\u0430", "\u05d3\u05d5\u05d1")
    assert "Parameters" in text.splitlines()[0] and "Start" in text.splitlines()[-1]

    clear(window, "Prompt")
    window.paste("sks " + "x" * 10_000 + " end")
    window.sees("x" * 40 + " end")
    window.keys("Home")
    window.sees("sks ")
    for number in range(40):
        window.resize(60 + number * 37 % 120, 10 + number * 23 % 40)
    window.resize(80, 24)
    text = window.sees("Parameters", "Subject", "F5 Start", "xxxxx")
    assert "Parameters" in text.splitlines()[0] and "Start" in text.splitlines()[-1]
    clear(window, "Prompt")
    window.keys("Escape")
    window.sees("5 photos, all usable")


def test_the_app_leaves_with_its_terminal_even_if_nobody_tells_it(tmux: Tmux) -> None:
    deaf = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]
    window = tmux.open("deaf", 80, 24, deaf)
    window.sees("Try the demo")
    process = psutil.Process(window.pid)
    try:
        window.kill()
        wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "it stays for ever")
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def test_a_trainer_that_died_says_why(tmux: Tmux, run_with: Any, steps: Any) -> None:
    started, training = Started(time=NOON, pid=1, steps=200), Phase(time=NOON, name="training", total=200)
    died = run_with([started, training, *steps(1, 20)], "vanished")
    died.log.write_text('Traceback (most recent call last):\n  File "loop.py"\nRuntimeError: \x1b]0;owned\x07 boom\n')
    full = run_with([started, training, *steps(1, 30)], "full")
    journal = JournalWriter(full.journal)
    journal.write(
        Ended(
            time=NOON + 60, reason="failed", step=30,
            message="The GPU is out of memory: 14.2 GB were needed. The checkpoint of step 20 was kept.",
            hint="Use the preset low-vram, or a lower data.resolution.",
        )
    )  # fmt: skip
    journal.close()

    window = tmux.open("died", 120, 36)
    window.sees("vanished", "lost", "full", "failed")
    open_entry(window, "vanished")
    window.sees("Lost.", "left no word", "20/200 steps")
    window.keys("l")
    window.sees("Traceback (most recent call last)", "RuntimeError: \\x1b]0;owned\\x07 boom", "copy")
    window.keys("Escape")
    window.until(lambda text: "Traceback" not in text)
    window.keys("q")
    window.sees("vanished", "Taught", "Size")
    open_entry(window, "full")
    window.sees("out of memory: 14.2 GB", "checkpoint of step 20 was kept", "preset low-vram", "Continue")


def test_a_data_folder_that_cannot_be_read_is_told_and_nothing_is_begun(tmux: Tmux, home: Path) -> None:
    # What even the system's own user cannot read, once it has given up that power.
    prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if prefix and not shutil.which("setpriv"):
        pytest.skip("root reads everything, and there is no setpriv")
    (home / "concepts").mkdir(parents=True)
    home.chmod(0)
    try:
        window = tmux.open("unreadable", 80, 24, prefix)
        window.sees("The library cannot be read", "Permission denied", "DBTUI_HOME")
        window.keys("t")
        window.sees("could not be used", "Permission denied")
        window.keys("Escape")
        home.chmod(0o700)
        window.sees("Try the demo")
    finally:
        home.chmod(0o700)
    assert not runs()
