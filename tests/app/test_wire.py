"""What the app sends to the terminal: little while a training goes on, nothing when nothing changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dbtui.core.events import Ended, Log, Phase, Started, Step
from dbtui.core.journal import JournalWriter
from dbtui.core.run import Run

STEPS_A_SECOND = 20
BUDGET = 15_000
"""Bytes a second."""


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
        screen.read(1.0)
        sent = 0
        for number in range(101, 201):
            journal.write(step(number))
            if number % 25 == 0:
                journal.write(Log(message=f"Something is said at step {number}."))
            sent += len(screen.read(1 / STEPS_A_SECOND))
        screen.wait_for("200/500 steps")
        assert 0 < sent <= BUDGET * 100 / STEPS_A_SECOND, f"{sent / 5:.0f} bytes a second"

        journal.write(Ended(reason="stopped", step=200, message="Stopped (as asked)."))
        run.release(lock)
        screen.wait_for("Stopped")
        screen.wait_until_quiet()
        assert screen.read(2.5) == b""
        assert screen.process.poll() is None
