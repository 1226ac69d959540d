"""What a journal shows of a machine's speed."""

from __future__ import annotations

from dbtui.core.events import Checkpoint, Phase, Started, Step
from dbtui.core.rates import observe

BYTES = 1_000_000


def phase(name: str, time: float) -> Phase:
    return Phase(name=name, time=time)


def step(number: int, time: float) -> Step:
    return Step(
        step=number, loss=1.0, instance_loss=1.0, learning_rate=1e-4, grad_norm=1.0, seconds=2.0, epoch=0.0, time=time
    )


def journal(**checkpoint: float) -> list[Started | Phase | Step | Checkpoint]:
    written = {"step": 1, "path": "c", "size": BYTES, "seconds": 40.0, **checkpoint}
    return [
        Started(pid=1, steps=2, time=0.0),
        phase("training", 0.0),
        step(1, 2.0),
        phase("saving a checkpoint", 2.0),
        phase("training", 2.5),
        Checkpoint(**written, time=44.0),  # type: ignore[arg-type]
        step(2, 46.0),
        phase("saving the concept", 46.0),
    ]


def test_a_checkpoint_costs_the_seconds_that_the_training_stood_still() -> None:
    rates = observe(journal(stalled=0.5), 50.0, 1e9, 0.0, 2 * BYTES)
    assert (rates.copying, rates.writing, rates.training) == (BYTES / 0.5, 2 * BYTES / 4.0, 1e9 / 2.0)


def test_a_journal_that_does_not_tell_them_had_all_of_them() -> None:
    assert observe(journal(), 50.0, 1e9, 0.0, 2 * BYTES).copying == BYTES / 40.0


def test_only_what_came_after_the_last_start_counts() -> None:
    events = [*journal(stalled=30.0), *journal(stalled=0.5)]
    assert observe(events, 50.0, 1e9, 0.0, 2 * BYTES).copying == BYTES / 0.5
