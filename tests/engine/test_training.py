"""What a run does beside its steps, and that none of it changes what is learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dbtui.core import paths
from dbtui.core.architecture import Architecture
from dbtui.core.base_model import find_model
from dbtui.core.budget import CHECKPOINT_SECONDS
from dbtui.core.checkpoints import checkpoints, newest_sound
from dbtui.core.config import Config
from dbtui.core.errors import DbtuiError
from dbtui.core.events import Checkpoint, Event, Log, Phase, Sample, Step
from dbtui.core.library import find_sound_concept
from dbtui.core.subjects import SUBJECTS
from dbtui.engine import loop
from dbtui.engine.machine import make_plan


def base_weights() -> dict[str, torch.Tensor]:
    file = paths.mini_dir() / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    return {name: weight.float() for name, weight in load_file(file).items()}


def test_samples_do_not_change_the_training(
    begin_run: Callable, train: Callable, heard: Callable, hashes: Callable, reference: Callable
) -> None:
    run = begin_run(changes={"sampling.every": 3})
    assert hashes(train(run).concept) == reference("plain")
    samples = [e for e in heard(run) if isinstance(e, Sample)]
    assert [e.step for e in samples] == [3, 6, 8]
    assert all((run.path / e.path).is_file() for e in samples)


def test_a_sample_that_fails_never_ends_the_training(
    begin_run: Callable, train: Callable, heard: Callable, hashes: Callable, reference: Callable
) -> None:
    run = begin_run(changes={"sampling.every": 4})
    run.samples.rmdir()
    run.samples.write_text("in the way")
    ended = train(run)
    assert ended.reason == "done" and hashes(ended.concept) == reference("plain")
    warnings = [e.message for e in heard(run) if isinstance(e, Log) and e.level == "warning"]
    assert len(warnings) == 2 and all("sample failed" in warning for warning in warnings)


@pytest.fixture
def full_library(home: Path, small_disk: Any) -> Any:
    """The disk that concepts go to, which has no room for one; all else is on another."""
    home.mkdir()
    (home / "concepts").symlink_to(small_disk.folder)
    return small_disk


def test_what_was_learned_waits_for_room_on_a_full_disk(
    begin_run: Callable, train: Callable, heard: Callable, hashes: Callable, reference: Callable, full_library: Any
) -> None:
    run = begin_run(changes={"training.checkpoint_every": 0})

    def make_room(event: Event) -> None:
        if isinstance(event, Phase) and event.name.startswith("waiting for room"):
            assert event.done < event.total and not list(full_library.folder.iterdir())
            full_library.grow("200m")

    ended = train(run, make_room)
    assert ended.reason == "done" and hashes(ended.concept) == reference("plain")
    (warning,) = [e.message for e in heard(run) if isinstance(e, Log) and e.level == "warning"]
    assert "is full" in warning and "kept in memory until there is room" in warning


def test_who_stops_a_run_that_waits_for_room_is_told_what_was_kept(
    begin_run: Callable, train: Callable, full_library: Any
) -> None:
    run = begin_run(changes={"training.checkpoint_every": 6})

    def give_up(event: Event) -> None:
        if isinstance(event, Phase) and event.name.startswith("waiting for room"):
            run.request("stop")

    with pytest.raises(DbtuiError, match="The checkpoint of step 6 was kept") as error:
        train(run, give_up)
    assert "Make room and `dbtui resume" in error.value.hint
    full_library.grow("200m")
    assert train(run).reason == "done", "the rest of the steps again"


def test_checkpoints_go_by_the_clock_unless_told_otherwise(
    begin_run: Callable, train: Callable, heard: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = {}
    for seconds in (CHECKPOINT_SECONDS, 0):
        monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", seconds)
        run = begin_run(changes={"training.checkpoint_every": "auto", "training.steps": 3})
        assert train(run).reason == "done"
        saved[seconds] = [event.step for event in heard(run) if isinstance(event, Checkpoint)]
    assert saved == {CHECKPOINT_SECONDS: [], 0: [1, 2]}


def test_requests_are_taken_between_steps(
    begin_run: Callable, train: Callable, heard: Callable, hashes: Callable, reference: Callable
) -> None:
    run = begin_run(changes={"training.checkpoint_every": 0})

    def ask(event: Event) -> None:
        if isinstance(event, Step) and event.step == 2:
            run.request("save")
            run.request("sample", prompt="a sks toy on the beach")
        if isinstance(event, Step) and event.step == 4:
            run.request("stop")

    ended = train(run, ask)
    assert ended.reason == "stopped" and 4 <= ended.step < 8
    assert [e.step for e in heard(run) if isinstance(e, Checkpoint)] == [2, ended.step]
    (sample,) = (e for e in heard(run) if isinstance(e, Sample))
    assert (sample.step, sample.prompts) == (2, ["a sks toy on the beach"])
    assert (run.path / sample.path).is_file()
    assert not list((run.path / "control").iterdir())
    assert hashes(train(run).concept) == reference("plain")


def test_a_loss_that_is_not_finite_ends_before_the_step_and_keeps_the_checkpoint(
    begin_run: Callable, train: Callable, heard: Callable
) -> None:
    run = begin_run(changes={"training.learning_rate": 1.0, "training.checkpoint_every": 1, "training.steps": 100})
    with pytest.raises(DbtuiError, match="The step was not taken") as caught:
        train(run)
    last = max(e.step for e in heard(run) if isinstance(e, Step))
    assert f"In step {last + 1} " in caught.value.message
    assert any(photo.name in caught.value.message for photo in SUBJECTS["teddy-bear"].folder.iterdir())
    assert f"of step {last} was kept" in caught.value.message and "learning_rate" in caught.value.hint
    newest, damaged = newest_sound(run.checkpoints)
    assert newest is not None and newest.step == last and not damaged
    assert all(bool(weight.isfinite().all()) for weight in load_file(newest.weights("unet")).values())


def test_a_concept_that_cannot_be_saved_leaves_a_run_to_resume(
    begin_run: Callable, train: Callable, hashes: Callable, reference: Callable
) -> None:
    run = begin_run(changes={})
    paths.concepts_dir().write_text("in the way")
    with pytest.raises(DbtuiError, match="was kept") as caught:
        train(run)
    assert "Make room" in caught.value.hint
    paths.concepts_dir().unlink()
    assert hashes(train(run).concept) == reference("plain")


def test_a_tiny_learning_rate_still_moves_the_weights(begin_run: Callable, train: Callable) -> None:
    run = begin_run(changes={"training.learning_rate": 1e-7, "training.steps": 2, "training.weight_decay": 0.0})
    learned = load_file(find_sound_concept(train(run).concept).weights("unet"))
    before = base_weights()
    moved = sum(int((learned[name] != weight).sum()) for name, weight in before.items())
    assert moved > 0.9 * sum(weight.numel() for weight in before.values())


def test_checkpoints_are_pruned_and_lose_their_state_once_the_run_is_done(begin_run: Callable, train: Callable) -> None:
    run = begin_run(changes={"training.checkpoint_every": 1, "training.steps": 4})
    train(run)
    kept = checkpoints(run.checkpoints)
    assert [c.step for c in kept] == [3, 2]
    assert not any(c.resumable or c.problem() for c in kept)


def test_a_model_that_predicts_velocity_is_trained_on_velocity(
    begin_run: Callable, train: Callable, heard: Callable, model_copy: Path, edit_json: Callable
) -> None:
    losses = {}
    for prediction in ("epsilon", "v_prediction"):
        edit_json(model_copy / "scheduler" / "scheduler_config.json", prediction_type=prediction)
        run = begin_run(changes={"model.base": str(model_copy), "training.steps": 1})
        assert train(run).reason == "done"
        (losses[prediction],) = (e.loss for e in heard(run) if isinstance(e, Step))
    assert losses["v_prediction"] > 2 * losses["epsilon"]


@pytest.mark.parametrize(
    ("asked", "done", "notices"), [("fp16", "no", 1), ("bf16", "bf16", 0), ("auto", "no", 0), ("no", "no", 0)]
)
def test_precision_on_a_cpu(asked: str, done: str, notices: int) -> None:
    config = Config().replace({"training.precision": asked, "training.optimizer": "adamw"})
    plan = make_plan(config, Architecture.of(find_model("mini")), "cpu", 2**34)
    assert plan.precision == done
    assert len(plan.notices) == notices and all("32 bit" in notice for notice in plan.notices)


def test_auto_on_a_cpu_is_plain() -> None:
    plan = make_plan(Config(), Architecture.of(find_model("mini")), "cpu", 2**34)
    assert (plan.optimizer, plan.gradient_checkpointing, plan.notices) == ("adamw", False, [])
