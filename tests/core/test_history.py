"""What a viewer keeps of a journal."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from dbtui.core.events import Checkpoint, Ended, Event, Log, Phase, Sample, Started, Step
from dbtui.core.history import NOTES, History


def step(number: int, loss: float = 0.5, time: float = 0.0) -> Step:
    return Step(
        time=time or 100.0 + number, step=number, loss=loss, instance_loss=loss, learning_rate=1e-4, grad_norm=2.0,
        seconds=1.0, epoch=number / 5,
    )  # fmt: skip


@pytest.fixture
def history() -> Callable[..., History]:
    def make(*events: Event) -> History:
        made = History()
        made.extend(events)
        return made

    return make


def test_curves_have_a_value_for_every_step(history: Callable[..., History]) -> None:
    curves = history(Started(pid=1, steps=9), *(step(n, 1 / n) for n in range(1, 6))).curves
    assert list(curves.step) == [1, 2, 3, 4, 5]
    assert list(curves.loss) == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert curves.smooth[0] == 1 and all(a > b for a, b in zip(curves.smooth, curves.smooth[1:], strict=False))
    assert set(curves.rate) == {1e-4} and set(curves.norm) == {2.0}


def test_a_copy_does_not_grow(history: Callable[..., History]) -> None:
    made = history(step(1))
    copy = made.curves.copy()
    made.add(step(2))
    assert list(copy.step) == [1] and list(made.curves.step) == [1, 2]


def test_a_resume_takes_back_what_came_after_its_checkpoint(history: Callable[..., History]) -> None:
    samples = [Sample(step=n, path=f"samples/{n}.png", prompts=["p"], seeds=[1]) for n in (10, 20)]
    made = history(
        Started(pid=1, steps=50), *(step(n) for n in range(1, 21)), *samples, Started(pid=2, steps=50, resumed_from=12)
    )
    assert list(made.curves.step) == list(range(1, 13)) and made.samples == samples[:1]
    assert made.pid == 2 and made.ended is None


def test_steps_ascend_even_where_the_journal_lost_the_line_of_a_resume(history: Callable[..., History]) -> None:
    made = history(Started(pid=1, steps=50), *(step(n) for n in range(1, 21)), *(step(n) for n in range(13, 16)))
    assert list(made.curves.step) == list(range(1, 16)) and len(made.curves.loss) == 15


def test_the_smoothed_loss_goes_on_over_a_resume_as_if_there_had_been_none(history: Callable[..., History]) -> None:
    steps = [step(n, 1 / n) for n in range(1, 31)]
    void = [step(n, 7.0) for n in range(13, 21)]
    started, resumed = Started(pid=1, steps=50), Started(pid=2, steps=50, resumed_from=12)
    broken = history(started, *steps[:12], *void, resumed, *steps[12:])
    assert broken.curves.smooth == history(started, *steps).curves.smooth
    assert broken.progress.loss == broken.curves.smooth[-1]
    again = history(started, *steps[:12], Started(pid=2, steps=50), *steps)
    assert again.curves.smooth == history(started, *steps).curves.smooth, "from the first step"


def test_time_between_two_trainers_is_not_counted(history: Callable[..., History]) -> None:
    made = history(
        Started(time=100, pid=1, steps=5), step(1, time=110), Started(time=1000, pid=2, steps=5), step(2, time=1005)
    )
    assert made.elapsed(1007) == 17
    made.add(Ended(time=1008, reason="done", step=2))
    assert made.elapsed(9999) == 18


def test_the_speed_of_a_phase_is_that_of_its_last_seconds(history: Callable[..., History]) -> None:
    slow = [Phase(time=float(t), name="downloading", done=t, total=10_000, unit="bytes") for t in range(5)]
    fast = [Phase(time=5.0 + t, name="downloading", done=5 + 100 * t, total=10_000, unit="bytes") for t in range(20)]
    assert history(*slow).speed == 1
    assert history(*slow, *fast).speed == 100
    assert history(*slow, *fast, Phase(time=30, name="loading")).speed == 0


def test_a_loss_that_is_not_finite_is_in_the_curve_but_not_in_its_average(history: Callable[..., History]) -> None:
    curves = history(step(1, 0.5), step(2, math.nan), step(3, 0.5)).curves
    assert math.isnan(curves.loss[1]) and list(curves.smooth) == pytest.approx([0.5, 0.5, 0.5])


def test_what_is_said_is_remembered_as_sentences(history: Callable[..., History]) -> None:
    made = history(
        Started(pid=7, steps=5),
        Log(message="The disk is slow.", level="warning"),
        Checkpoint(step=3, path="checkpoints/a", size=2048, seconds=0.5),
        step(4),
        Ended(reason="failed", step=4, message="Out of memory."),
    )
    assert [(note.level, note.text) for note in made.notes] == [
        ("info", "Trainer 7, starting."),
        ("warning", "The disk is slow."),
        ("info", "Checkpoint at step 3: 2.0 KB in 0.5 s"),
        ("error", "Out of memory."),
    ]
    made.extend(Log(message=str(n)) for n in range(2 * NOTES))
    assert len(made.notes) == NOTES and made.notes[-1].text == str(2 * NOTES - 1)
