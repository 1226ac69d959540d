"""What the app sends to the terminal: little while a training goes on, nothing when nothing changes."""

from __future__ import annotations

import math
import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console
from rich.style import Style
from screen_model import ScreenModel
from textual._compositor import LayoutUpdate
from textual.geometry import Region, Size
from textual.strip import Segment, Strip

from dbtui.app import entries
from dbtui.app.wire import Shown, drawing
from dbtui.core import paths
from dbtui.core.events import Ended, Log, Phase, Started, Step
from dbtui.core.journal import JournalWriter
from dbtui.core.run import Run

STEPS_A_SECOND = 20
BUDGET = 15_000
"""Bytes a second."""

WORDS = 20_000
"""Numbers that are spelt and kept for each step, for comparison: the app may take no longer, on whatever processor."""


def spell() -> float:
    """Seconds of the processor that so many words take now."""
    began, kept = time.thread_time(), {}
    for number in range(WORDS):
        kept[number % 100] = f"{number}"
    return time.thread_time() - began


def step(number: int) -> Step:
    loss = 0.1 + 0.05 * math.sin(number * 12.9898) ** 2
    return Step(
        step=number,
        loss=loss,
        instance_loss=loss,
        learning_rate=1e-4,
        grad_norm=loss * 9,
        seconds=0.05,
        epoch=number / 5,
    )


def test_a_training_at_20_steps_a_second_costs_little_and_its_end_nothing(
    new_run: Callable[..., Run], terminal: Callable[..., Any]
) -> None:
    run = new_run("rex")
    lock = run.claim()
    journal = JournalWriter(run.journal)
    journal.write(Started(pid=1, steps=500))
    journal.write(Phase(name="training", total=500, unit="steps"))
    for number in range(1, 101):
        journal.write(step(number))
    with terminal(120, 36) as screen:
        screen.wait_for("rex")
        screen.type("\r")
        screen.wait_for("100/500 steps")
        screen.read(2.0)
        sent, app = 0, psutil.Process(screen.process.pid)
        before, spelt = sum(app.cpu_times()[:2]), 0.0
        for number in range(101, 201):
            journal.write(step(number))
            if number % 25 == 0:
                journal.write(Log(message=f"Something is said at step {number}."))
            sent += len(screen.read(1 / STEPS_A_SECOND))
            spelt += spell()  # between what is compared: processors are not equally fast all the time
        screen.wait_for("200/500 steps")
        assert 0 < sent <= BUDGET * 100 / STEPS_A_SECOND, f"{sent / 5:.0f} bytes a second"
        taken = sum(app.cpu_times()[:2]) - before
        assert 0 < taken < spelt, f"{taken / 100:.1e} s a step, as much as {WORDS * taken / spelt:,.0f} words"

        journal.write(Ended(reason="stopped", step=200, message="Stopped (as asked)."))
        run.release(lock)
        screen.wait_for("Stopped")
        screen.wait_until_quiet()
        assert screen.read(2.5) == b""
        assert screen.process.poll() is None


SIZE = Size(12, 3)
LETTERS = ["a", "b", " ", "\u6f22", "e\u0301", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "\u2588"]
STYLES = [Style(color="red"), Style(bgcolor="blue"), Style(bold=True, meta={"a": 1})]


def frame(draws: random.Random, before: list[str]) -> list[str]:
    """Lines as wide as the window, most of which are as they were."""
    lines = []
    for old in before:
        line = "".join(draws.choices(LETTERS, k=6)) if draws.random() < 0.5 else old
        lines.append(Strip([Segment(line)]).adjust_cell_length(SIZE.width).text)
    return lines


def update(lines: list[str], style: Style) -> LayoutUpdate:
    return LayoutUpdate([[Strip([Segment(line, style)])] for line in lines], Region(0, 0, *SIZE))


def test_what_is_sent_makes_of_the_window_what_was_drawn() -> None:
    draws, console = random.Random(3), Console(color_system="truecolor")
    shown, terminal, lines = Shown(), ScreenModel(), [" " * SIZE.width] * SIZE.height
    shown.forget(SIZE)
    for _ in range(500):
        lines, style = frame(draws, lines), draws.choice(STYLES)
        difference = shown.difference(update(lines, style))
        terminal.write(difference.render_segments(console).encode() if difference else b"")
        terminal.write(b"\x1b[1;1H")
        assert terminal.text.split("\n") == [line.rstrip() for line in lines]
        assert shown.difference(update(lines, style)) is None


def test_a_cell_is_sent_again_when_its_style_changes_or_something_was_drawn_over_it() -> None:
    console, lines = Console(color_system="truecolor"), ["a" * SIZE.width] * SIZE.height
    shown = Shown()
    shown.forget(SIZE)
    shown.difference(update(lines, STYLES[0]))
    changed = shown.difference(update(lines, STYLES[1]))
    assert changed is not None and changed.render_segments(console).count("a") == SIZE.area
    over = Strip([drawing("\x1bPq~\x1b\\", Region(2, 1, 4, 2))], 0)
    drawn = shown.difference(LayoutUpdate([[over]], Region(0, 2, 0, 1)))
    assert drawn is not None and "\x1bPq~" in drawn.render_segments(console)
    again = shown.difference(update(lines, STYLES[1]))
    assert again is not None and again.render_segments(console).count("a") == 8


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467|", "\U0001f468|"),
        ("\U0001f44d\U0001f3fd|", "\U0001f44d|"),
        ("\u2764\ufe0f|", "\u2764 |"),
        ("\U0001f1eb\U0001f1f7|", "FR|"),
        ("\u6f22e\u0301\u0645\u200c|", "\u6f22e\u0301\u0645\u200c|"),
    ],
)
def test_an_emoji_that_terminals_count_in_different_ways_is_sent_as_one_that_they_do_not(text: str, sent: str) -> None:
    console = Console(color_system="truecolor")
    for joins, expected in ((False, sent), (True, text)):
        shown = Shown(joins)
        shown.forget(SIZE)
        difference = shown.difference(LayoutUpdate([[Strip([Segment(text)])]], Region(0, 0, *SIZE)))
        assert difference is not None and difference.render_segments(console) == f"\x1b[1;1H{expected}"


@pytest.fixture
def many_concepts(concept: Callable[..., Any]) -> list[str]:
    """Names of concepts, of which the last is the newest."""
    names = [f"mug-{number:03}" for number in range(120)]
    made = concept("mug")
    made.weights("unet").write_bytes(b"0")
    for number, name in enumerate(names):
        copy = shutil.copytree(made.path, made.path.with_name(name))
        text = (copy / "concept.toml").read_text().replace("created = 1750000000.0", f"created = {1.76e9 + number}")
        (copy / "concept.toml").write_text(text)
    shutil.rmtree(made.path)
    return names


def test_a_long_library_costs_about_what_is_seen_of_it(many_concepts: list[str], terminal: Callable[..., Any]) -> None:
    with terminal(120, 36) as screen:
        screen.wait_for(many_concepts[-1])
        screen.wait_until_quiet()
        opening = len(screen.written)
        screen.type("\x0c")  # Ctrl-L: the whole window anew
        screen.wait_until_quiet()
        window = len(screen.written)
        assert many_concepts[-1] in screen.text and window > 10_000
        assert opening < 1.8 * window  # an empty window first, then its contents
        screen.type("\x1b[B")
        screen.wait_until_quiet()
        assert 0 < len(screen.written) < 0.4 * window


def test_what_is_seen_first_does_not_wait_for_a_slow_disk(
    many_concepts: list[str], drive: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, go_on = entries.read_concept, threading.Event()

    def slow(folder: Path) -> Any:
        if folder.name < "mug-060":
            go_on.wait()
        return read(folder)

    for number, name in enumerate(many_concepts):
        folder = paths.concepts_dir() / name
        os.utime(folder, (1.76e9 + number, 1.76e9 + number))
    monkeypatch.setattr(entries, "read_concept", slow)
    monkeypatch.setattr(entries, "PART", 0.0)

    async def script(driver: Any) -> None:
        try:
            await driver.sees("mug-119", "mug-110")
            assert not go_on.is_set()
        finally:
            go_on.set()
        await driver.sees("120 concepts")

    drive(script, (120, 36))
