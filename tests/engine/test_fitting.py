"""What is done before the first step so that a run fits its machine, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dbtui.core import paths
from dbtui.core.architecture import Architecture
from dbtui.core.base_model import find_model
from dbtui.core.budget import checkpoint_bytes, estimate
from dbtui.core.config import parse_assignment
from dbtui.core.errors import DbtuiError
from dbtui.core.events import Checkpoint, Estimate, Event, Log, Step
from dbtui.core.fit import needed
from dbtui.core.paths import folder_size
from dbtui.core.rates import UNKNOWN, cpu_name, recall
from dbtui.core.run import Run
from dbtui.engine import fitting, prepare, probe
from dbtui.engine.learner import Learner
from dbtui.engine.machine import Plan
from dbtui.engine.narrator import Narrator
from dbtui.engine.ranks import Ranks


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``memory(n)`` lets the machine have n bytes for the run."""

    def limit(count: int) -> None:
        for module in (probe, fitting, prepare):
            monkeypatch.setattr(module, "free_memory", lambda device: count)

    return limit


def need(run: Run, **changes: Any) -> int:
    architecture = Architecture.of(find_model("mini"))
    config = run.config.replace({f"training.{key}": value for key, value in changes.items()})
    return needed(config, architecture, "cpu")


def test_a_run_that_does_not_fit_is_refused_before_its_first_step_with_the_change_that_makes_it_fit(
    begin_run: Callable, train: Callable, heard: Callable, memory: Callable
) -> None:
    large = {"training.text_encoder": True, "training.ema": True, "training.gradient_checkpointing": False}
    run = begin_run(changes=large)
    memory(need(run) - 1)
    with pytest.raises(DbtuiError) as caught:
        train(run)
    assert "does not fit" in caught.value.title and "No step was taken" in caught.value.message
    assert not [e for e in heard(run) if isinstance(e, (Step, Estimate))]
    named = [word for word in caught.value.hint.split() if "=" in word]
    change = dict(parse_assignment(word) for word in named)
    assert change
    smaller = begin_run(changes={**large, **change, "training.steps": 1})
    assert train(smaller).reason == "done"


def test_auto_goes_on_to_a_smaller_way_that_fits(
    begin_run: Callable, train: Callable, heard: Callable, memory: Callable
) -> None:
    run = begin_run(
        changes={"training.optimizer": "auto", "training.gradient_checkpointing": False, "training.steps": 2}
    )
    memory(need(run, optimizer="adamw8bit"))
    assert train(run).reason == "done"
    (warning,) = [e.message for e in heard(run) if isinstance(e, Log) and e.level == "warning"]
    assert "does not fit" in warning and "Trying" in warning and "adamw8bit" in warning
    (said,) = [e for e in heard(run) if isinstance(e, Estimate)]
    assert said.memory == need(run, optimizer="adamw8bit") <= said.memory_free


def test_a_library_that_finds_no_memory_means_that_it_does_not_fit(
    begin_run: Callable, train: Callable, heard: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm_up, tried = Learner.warm_up, []

    def refused_once(learner: Learner, *about: Any) -> None:
        tried.append(learner.plan.optimizer)
        if len(tried) == 1:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        warm_up(learner, *about)

    monkeypatch.setattr(Learner, "warm_up", refused_once)
    run = begin_run(
        changes={"training.optimizer": "auto", "training.gradient_checkpointing": False, "training.steps": 1}
    )
    assert train(run).reason == "done" and tried == ["adamw", "adamw8bit"]
    (warning,) = [e.message for e in heard(run) if isinstance(e, Log) and e.level == "warning"]
    assert "does not fit" in warning and "adamw8bit" in warning


@pytest.mark.parametrize("elsewhere", [False, True])
def test_processes_take_the_fast_way_together_or_not_at_all(monkeypatch: pytest.MonkeyPatch, elsewhere: bool) -> None:
    class Fast(Learner):
        """One that works here."""

    class Others(Ranks):
        def any(self, wish: bool) -> bool:
            return wish or elsewhere

    said: list[Event] = []
    narrator = Narrator(SimpleNamespace(write=said.append))
    monkeypatch.setattr(fitting, "_split_learner", lambda plan: Fast)
    monkeypatch.setattr(fitting.Fitting, "_of_class", lambda self, kind, models, plan: kind)
    monkeypatch.setattr(fitting.Fitting, "_anew", lambda self, models: models)
    here = fitting.Fitting(*[None] * 5, Others(0, 2), narrator)  # type: ignore[arg-type]
    plan = Plan("cuda", "bf16", "adamw", False, graph=True)
    made: Any = here._make(None, plan)  # type: ignore[arg-type]
    assert (made, plan.graph) == ((Learner, False) if elsewhere else (Fast, True))
    assert ["another process cannot do it" in e.message for e in said if isinstance(e, Log)] == [True] * elsewhere


def test_the_rehearsal_changes_nothing(
    begin_run: Callable, train: Callable, hashes: Callable, reference: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU every run is rehearsed; here only this one, whose weights must be those of one that was not."""
    expected, rehearsed = reference("everything"), []

    def rehearsing(learner: Any, batches: list[Any], *rest: Any) -> probe.Probe:
        learner.rehearse(batches)
        assert all(parameter.grad is None for parameter in learner.parameters)
        rehearsed.append(len(batches))
        return probe.probe(learner, batches, *rest)

    monkeypatch.setattr(fitting, "probe", rehearsing)
    assert hashes(train(begin_run("everything")).concept) == expected
    assert rehearsed == [2]


def test_the_estimate_is_said_before_the_first_step(begin_run: Callable, train: Callable, heard: Callable) -> None:
    run = begin_run(changes={"training.steps": 2})
    train(run)
    events = [e for e in heard(run) if isinstance(e, (Estimate, Step))]
    assert isinstance(events[0], Estimate) and len([e for e in events if isinstance(e, Estimate)]) == 1
    assert 0 < events[0].memory < events[0].memory_free and 0 < events[0].disk < events[0].disk_free


def test_the_speed_of_a_run_foretells_the_next(begin_run: Callable, train: Callable, heard: Callable) -> None:
    changes = {"training.steps": 4, "sampling.every": 2, "training.checkpoint_every": 2}
    first = begin_run(changes=changes)
    assert recall(cpu_name(), first.config) == UNKNOWN
    train(first)
    rates = recall(cpu_name(), first.config)
    assert None not in (rates.training, rates.drawing, rates.writing)
    second = begin_run(changes={**changes, "training.steps": 3})
    train(second)
    (said,) = [e for e in heard(second) if isinstance(e, Estimate)]
    assert said.seconds is not None and said.seconds > 0
    budget = estimate(second.config, Architecture.of(find_model("mini")), "cpu", rates)
    assert budget.seconds["training"] and budget.seconds["sampling"] and budget.seconds["saving"]


@pytest.mark.parametrize("kind", ["plain", "everything"])
def test_the_disk_holds_what_was_estimated(begin_run: Callable, train: Callable, kind: str) -> None:
    run = begin_run(kind, {"training.steps": 8, "training.checkpoint_every": 2, "training.checkpoints_kept": 2})
    architecture = Architecture.of(find_model("mini"))
    budget = estimate(run.config, architecture, "cpu")
    most = 0

    def hear(event: Event) -> None:
        nonlocal most
        if isinstance(event, Checkpoint):
            assert event.size == pytest.approx(checkpoint_bytes(run.config, architecture), rel=0.02)
            most = max(most, folder_size(run.path))

    concept = train(run, hear).concept
    # Between two checkpoints the one that is being written is not there.
    assert most + checkpoint_bytes(run.config, architecture) == pytest.approx(budget.disk["checkpoints"], rel=0.02)
    size = folder_size(paths.concepts_dir() / concept)
    assert size == pytest.approx(budget.disk["concept"], rel=0.02)
    left = folder_size(run.path) + size
    assert left == pytest.approx(budget.disk_left, rel=0.02)
