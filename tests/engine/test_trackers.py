"""A tracker is told what the journal says, and can never harm a training."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from accelerate.tracking import TensorBoardTracker
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dbtui.core.config import Config
from dbtui.core.errors import UsageError
from dbtui.core.events import Event, Log, Sample, Started, Step
from dbtui.core.run import Run
from dbtui.engine.trackers import public_values
from dbtui.jobs import begin as begin_module

TRACKED = {"training.track": "tensorboard"}


def logged(run: Run) -> EventAccumulator:
    """What TensorBoard itself reads in the run's folder."""
    events = EventAccumulator(str(run.path / "tracker" / "dbtui"), size_guidance={"images": 0, "scalars": 0})
    return events.Reload()


def lasting_steps(events: list[Event]) -> list[Step]:
    """The steps in a journal, without those that a resume took back."""
    steps: list[Step] = []
    for event in events:
        if isinstance(event, Started):
            steps = [step for step in steps if step.step <= event.resumed_from]
        elif isinstance(event, Step):
            steps = [step for step in steps if step.step < event.step] + [event]
    return steps


def warnings(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Log) and event.level == "warning"]


def assert_scalars_are_the_journals(run: Run, steps: list[Step]) -> None:
    read = logged(run)
    for name in ("loss", "instance_loss", "prior_loss", "learning_rate", "grad_norm"):
        wanted = [(step.step, np.float32(getattr(step, name))) for step in steps]
        assert [(scalar.step, np.float32(scalar.value)) for scalar in read.Scalars(name)] == wanted, name


def test_tensorboard_has_the_journals_numbers_and_pictures(
    begin_run: Callable, train: Callable, heard: Callable, hashes: Callable, reference: Callable
) -> None:
    run = begin_run("prior", {**TRACKED, "sampling.every": 4})
    assert hashes(train(run).concept) == reference("prior"), "and nothing is learned otherwise"
    assert_scalars_are_the_journals(run, lasting_steps(heard(run)))
    samples = [event for event in heard(run) if isinstance(event, Sample)]
    shown = logged(run).Images("samples")
    assert [image.step for image in shown] == [sample.step for sample in samples] == [4, 8]
    for image, sample in zip(shown, samples, strict=True):
        with Image.open(run.path / sample.path) as wanted, Image.open(io.BytesIO(image.encoded_image_string)) as got:
            assert np.array_equal(np.asarray(got.convert("RGB")), np.asarray(wanted.convert("RGB")))
    assert not warnings(heard(run))


def test_a_resumed_run_is_one_run_there_and_no_step_is_in_it_twice(
    begin_run: Callable, train: Callable, heard: Callable
) -> None:
    run = begin_run(changes=TRACKED)

    def die(event: Event) -> None:
        if isinstance(event, Step) and event.step == 5:
            raise InterruptedError("the power went")

    with pytest.raises(InterruptedError):
        train(run, die)
    assert train(run).reason == "done"
    steps = lasting_steps(heard(run))
    assert [step.step for step in steps] == list(range(1, 9))
    read = logged(run)
    assert [(s.step, np.float32(s.value)) for s in read.Scalars("loss")] == [
        (s.step, np.float32(s.loss)) for s in steps
    ]


def test_nobody_is_told_unless_that_is_asked_for(begin_run: Callable, train: Callable) -> None:
    run = begin_run(changes={"training.steps": 1})
    train(run)
    assert not (run.path / "tracker").exists()


def test_a_tracker_that_fails_is_a_warning(
    begin_run: Callable, train: Callable, heard: Callable, hashes: Callable, reference: Callable
) -> None:
    run = begin_run(changes=TRACKED)
    (run.path / "tracker").write_text("in the way")
    assert hashes(train(run).concept) == reference("plain")
    (warning,) = warnings(heard(run))
    assert "tensorboard failed" in warning and "The training goes on" in warning


@pytest.mark.parametrize("failure", [OSError("No space left on device"), SystemExit("It leaves")])
def test_a_tracker_that_fails_on_the_way_is_one_warning(
    begin_run: Callable, train: Callable, heard: Callable, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    run = begin_run(changes={**TRACKED, "training.steps": 4})

    def full(*_: object, **__: object) -> None:
        raise failure

    def fill_the_disk(event: Event) -> None:
        if isinstance(event, Step) and event.step == 2:
            monkeypatch.setattr(TensorBoardTracker, "log", full)

    assert train(run, fill_the_disk).reason == "done"
    (warning,) = warnings(heard(run))
    assert warning == f"tensorboard failed: {failure}. The training goes on without it."
    assert [scalar.step for scalar in logged(run).Scalars("loss")] == [1, 2]


@pytest.mark.skipif(find_spec("wandb") is not None, reason="the package that must be missing is there")
def test_a_package_that_went_missing_is_a_warning_with_the_command(
    begin_run: Callable, train: Callable, heard: Callable
) -> None:
    run = begin_run(changes={"training.steps": 1})
    (run.path / "config.toml").write_text(run.config.replace({"training.track": "wandb"}).to_toml())
    assert train(Run(run.path)).reason == "done"
    (warning,) = warnings(heard(run))
    assert "pip install wandb" in warning


def test_a_missing_package_is_said_before_anything_starts(
    begin_run: Callable, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(begin_module, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        begin_run(changes={"training.track": "trackio"})
    assert "-m pip install trackio" in caught.value.hint and not (home / "runs").exists()


def test_what_is_private_is_not_told() -> None:
    config = Config().replace(
        {
            "data.folder": "/home/me/photos",
            "data.urls": ["https://example.com/a.jpg?signature=secret"],
            "model.base": "/home/me/models/sd15",
            "sampling.prompts": ["a", "b"],
        }
    )
    values = public_values(config)
    assert values["model.base"] == "sd15" and values["sampling.prompts"] == "a | b"
    assert not [value for value in values.values() if "/home" in str(value) or "secret" in str(value)]
    assert all(isinstance(value, (bool, int, float, str)) for value in values.values())
