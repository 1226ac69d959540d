"""A journal played back: what comes when, and how it ends."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dbtui.core.errors import UsageError
from dbtui.core.events import Ended, Event, Log, Phase, Started, Step
from dbtui.core.journal import JournalWriter
from dbtui.core.run import Run
from dbtui.jobs import replay
from dbtui.jobs.replay import Replay, find_journal

NOON = 1_750_000_000.0


class Clock:
    """Takes the place of the module ``time``."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(replay, "time", clock)
    return clock


def step(number: int, time: float) -> Step:
    return Step(
        time=NOON + time, step=number, loss=0.1, instance_loss=0.1, learning_rate=1e-4, grad_norm=1.0, seconds=0.5,
        epoch=0.0,
    )  # fmt: skip


RESUMED: list[Event] = [
    Started(time=NOON, pid=1, steps=4),
    step(1, 2),
    step(2, 4),
    Ended(time=NOON + 5, reason="stopped", step=2),
    Started(time=NOON + 90_000, pid=2, steps=4, resumed_from=2),
    step(3, 90_001),
    step(4, 90_003),
    Ended(time=NOON + 90_004, reason="done", step=4, concept="rex"),
]
"""A run that was stopped, and taken up the next day."""


@pytest.fixture
def journal(tmp_path: Path) -> Callable[[list[Event]], Path]:
    def write(events: list[Event]) -> Path:
        path = tmp_path / "journal.jsonl"
        writer = JournalWriter(path)
        for event in events:
            writer.write(event)
        writer.close()
        return path

    return write


def test_events_come_in_their_order_and_at_their_times(clock: Clock, journal: Callable[..., Path]) -> None:
    source = Replay(journal(RESUMED), speed=2)
    assert source.tick() == RESUMED[:1] and source.tick() == []
    clock.now = 1.0
    assert source.tick() == RESUMED[1:2]
    assert source.state().name == "live" and source.state().step == 1
    clock.now = 1.5
    assert source.tick() == [] and source.now() == NOON + 3, "the journal's own clock goes twice as fast"
    clock.now = 2.6
    assert source.tick() == RESUMED[2:4]
    assert source.state().name == "live", "a stop in the middle is not the end"


def test_nobody_waits_for_the_next_day(clock: Clock, journal: Callable[..., Path]) -> None:
    source = Replay(journal(RESUMED), speed=1)
    source.tick()
    clock.now = 5 + replay.LONGEST_WAIT
    assert source.tick()[-1] == RESUMED[4]
    clock.now += 4
    assert source.tick() == RESUMED[5:]
    state = source.state()
    assert (state.name, state.step, state.concept) == ("done", 4, "rex")
    clock.now += 1000
    assert source.tick() == [] and source.now() == RESUMED[-1].time


def test_a_journal_without_an_end_is_lost_and_a_bad_line_is_skipped(clock: Clock, journal: Callable[..., Path]) -> None:
    path = journal(RESUMED[:3])
    path.write_text(path.read_text() + '{"kind": "step", "st')
    source = Replay(path, speed=1)
    source.tick()
    clock.now = 100
    assert len(source.tick()) == 2
    assert (source.state().name, source.state().step) == ("lost", 2)


@pytest.mark.parametrize("speed", [0, -1, math.nan, math.inf])
def test_a_speed_that_is_none_is_refused(speed: float, journal: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="speed"):
        Replay(journal(RESUMED), speed)


def test_a_journal_is_found_by_file_folder_and_name(new_run: Callable[..., Run]) -> None:
    run = new_run("rex")
    with pytest.raises(UsageError, match="no journal"):
        find_journal("rex")
    run.journal.write_text("{}\n")
    for word in (str(run.journal), str(run.path), run.id, "rex"):
        assert find_journal(word) == run.journal
    with pytest.raises(UsageError, match="nothing to replay"):
        Replay(run.journal)


def test_without_a_terminal_it_is_told_in_lines(journal: Callable[..., Path]) -> None:
    bar = Phase(time=NOON, name="encoding the photos", done=1, total=2, unit="pictures")
    hello = Log(time=NOON + 1, message="Hello \x1b[31m.")
    path = journal([Started(time=NOON, pid=1, steps=4), bar, hello, *RESUMED[1:]])
    command = [sys.executable, "-m", "dbtui", "replay", str(path), "--speed", "1000"]
    as_json = subprocess.run([*command, "--json"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert json.loads(as_json.stdout)["state"] == "done"
    told = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert told.returncode == 0, told.stderr
    assert "Hello \\x1b[31m." in told.stderr and "Going on from step 2" in told.stderr
    assert told.stdout == "The journal ends: done at step 4.\n"
    plain = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert "encoding the photos ##########---------- 1/2" in plain.stderr
    assert plain.stderr.isascii() and "\\u25" not in plain.stderr
