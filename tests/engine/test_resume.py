"""A run that is killed and resumed ends with the very weights of the run that was not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dbtui.core.checkpoints import checkpoints, newest_sound
from dbtui.core.events import Checkpoint, Event, Phase, Started, Step
from dbtui.core.journal import JournalReader
from dbtui.core.run import Run
from dbtui.engine.stopping import StopFlag
from dbtui.jobs.launch import launch

Moment = Callable[[list[Event]], bool]


def phase(name: str) -> Moment:
    return lambda events: any(isinstance(e, Phase) and e.name == name for e in events)


def step(number: int) -> Moment:
    return lambda events: any(isinstance(e, Step) and e.step >= number for e in events)


def saved(number: int) -> Moment:
    """A checkpoint is written while the training goes on: it is there once the journal says so."""
    return lambda events: any(isinstance(e, Checkpoint) and e.step == number for e in events)


def both(one: Moment, other: Moment) -> Moment:
    return lambda events: one(events) and other(events)


def half_written(run: Run, number: int) -> bool:
    return any(run.checkpoints.glob(f".step-{number:06}.*.partial/*"))


@pytest.fixture
def trainer(wait_for: Callable) -> Iterator[Callable[..., None]]:
    """``trainer(run, until)`` launches a trainer and kills it at that moment, or sees it to its end."""
    started: list[int] = []

    def work(run: Run, until: Callable[[list[Event]], bool] | None) -> None:
        reader = JournalReader(run.journal)
        reader.read()
        events: list[Event] = []
        pid = launch(run)
        started.append(pid)

        def reached() -> bool:
            events.extend(reader.read())
            return run.trainer() is None or (until is not None and until(events))

        wait_for(reached, "the trainer")
        if until is not None:
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: run.trainer() is None, "the killed trainer to be gone")
            assert run.state().name == "lost", run.log.read_text()

    yield work
    for pid in started:
        try:
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        except ChildProcessError:
            pass


def resumed_from(events: list[Event]) -> list[int]:
    return [e.resumed_from for e in events if isinstance(e, Started)]


def test_kills_in_preparation_after_a_step_and_in_a_checkpoint_change_nothing(
    begin_run: Callable, trainer: Callable, heard: Callable, hashes: Callable, reference: Callable
) -> None:
    run = begin_run()
    trainer(run, phase("loading the model"))
    assert not any(isinstance(e, Step) for e in heard(run))
    trainer(run, both(saved(3), step(4)))
    assert [c.step for c in checkpoints(run.checkpoints)] == [3]
    trainer(run, lambda events: half_written(run, 6))
    assert [c.step for c in checkpoints(run.checkpoints)] == [3]
    assert half_written(run, 6)
    trainer(run, None)

    state = run.state()
    assert (state.name, state.step) == ("done", 8), run.log.read_text()
    assert resumed_from(heard(run)) == [0, 0, 3, 3]
    assert hashes(state.concept) == reference("plain")
    assert not list(run.checkpoints.glob(".*.partial"))


def test_kills_with_class_pictures_change_nothing(
    begin_run: Callable, trainer: Callable, heard: Callable, hashes: Callable, reference: Callable
) -> None:
    run = begin_run("prior")
    trainer(run, both(saved(3), step(5)))
    trainer(run, None)
    assert resumed_from(heard(run)) == [0, 3]
    assert hashes(run.state().concept) == reference("prior")
    assert reference("prior") != reference("plain")


def test_a_kill_with_average_accumulation_and_text_encoder_changes_nothing(
    begin_run: Callable, trainer: Callable, heard: Callable, hashes: Callable, reference: Callable
) -> None:
    run = begin_run("everything")
    trainer(run, lambda events: half_written(run, 6))
    trainer(run, None)
    assert resumed_from(heard(run)) == [0, 3]
    weights = hashes(run.state().concept)
    assert set(weights) == {"unet", "text_encoder"}
    assert weights == reference("everything")


@pytest.fixture
def signals_restored() -> Iterator[None]:
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {name: signal.getsignal(name) for name in names}
    yield
    for name, handler in before.items():
        signal.signal(name, handler)


@pytest.mark.usefixtures("signals_restored")
def test_signals_end_at_the_next_step_with_a_checkpoint(
    begin_run: Callable, train: Callable, hashes: Callable, reference: Callable
) -> None:
    run = begin_run()
    for number, name in ((2, signal.SIGTERM), (4, signal.SIGHUP), (5, signal.SIGINT)):

        def hear(event: Event, number: int = number, name: signal.Signals = name) -> None:
            if isinstance(event, Step) and event.step == number:
                os.kill(os.getpid(), name)

        ended = train(run, hear, StopFlag(run).listen())
        assert (ended.reason, ended.step) == ("stopped", number)
        assert name.name in ended.message
        newest, damaged = newest_sound(run.checkpoints)
        assert newest is not None and newest.step == number and not damaged
        assert (run.state().name, run.state().step) == ("stopped", number)
    assert hashes(train(run).concept) == reference("plain")


def flip_a_byte(folder: Path, name: str) -> None:
    with open(folder / name, "r+b") as file:
        file.seek(-1000, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("name", ["unet.safetensors", "state.pt"])
def test_a_checkpoint_with_a_flipped_byte_is_left_out(
    begin_run: Callable, train: Callable, hashes: Callable, reference: Callable, name: str
) -> None:
    run = begin_run()
    stop = StopFlag(run)

    def stop_at_7(event: Event) -> None:
        if isinstance(event, Step) and event.step == 7:
            stop.reason = "for the test"

    assert train(run, stop_at_7, stop).step == 7
    newest, older = checkpoints(run.checkpoints)
    assert (newest.step, older.step) == (7, 6)
    flip_a_byte(newest.path, name)
    sound, (sentence,) = newest_sound(run.checkpoints)
    assert sound == older
    assert "step 7" in sentence and name in sentence
    assert hashes(train(run).concept) == reference("plain")


def rewrite(run: Run, **changes: str) -> None:
    """Change a run's config, as nobody should: it stands for one whose auto was decided on another machine."""
    config = run.config.replace({name.replace("__", "."): value for name, value in changes.items()})
    (run.path / "config.toml").write_text(config.to_toml())


def test_a_run_goes_on_with_the_optimizer_that_it_was_begun_with_whatever_auto_would_choose_here(
    begin_run: Callable, train: Callable, hashes: Callable
) -> None:
    pytest.importorskip("bitsandbytes")
    eight_bit = {"training.optimizer": "adamw8bit"}
    whole = hashes(train(begin_run(changes=eight_bit)).concept)
    run = begin_run(changes={**eight_bit, "concept.name": "again"})

    def stop_at_four(event: Event) -> None:
        if isinstance(event, Step) and event.step == 4:
            run.request("stop")

    assert train(run, stop_at_four).reason == "stopped"
    rewrite(run, training__optimizer="auto")
    ended = train(Run(run.path))
    assert ended.reason == "done" and hashes(ended.concept) == whole
    assert whole != hashes(train(begin_run(changes={"concept.name": "adamw"})).concept)


def test_a_state_that_this_machine_cannot_go_on_with_is_refused_in_a_sentence_and_kept(
    begin_run: Callable, train: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bitsandbytes")
    from dbtui.core.errors import DbtuiError
    from dbtui.engine import machine

    run = begin_run(changes={"training.optimizer": "adamw8bit"})

    def stop_at_four(event: Event) -> None:
        if isinstance(event, Step) and event.step == 4:
            run.request("stop")

    train(run, stop_at_four)
    monkeypatch.setattr(machine, "eight_bit_problem", lambda device: "no library for this device")
    with pytest.raises(DbtuiError, match="cannot be gone on with here") as caught:
        train(Run(run.path))
    assert "8-bit Adam" in caught.value.message and "left as it is" in caught.value.message
    checkpoint, problems = newest_sound(run.checkpoints)
    assert checkpoint is not None and checkpoint.step == 4 and not problems
