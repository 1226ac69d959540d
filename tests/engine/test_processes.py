"""Two processes train one run: they learn what one would, end together, and none is ever left behind."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file
from torch import Tensor

from dbtui.core import paths
from dbtui.core.checkpoints import checkpoints, newest_sound
from dbtui.core.config import DataConfig
from dbtui.core.events import Checkpoint, Ended, Event, Log, Sample, Started, Step
from dbtui.core.journal import JournalReader
from dbtui.core.library import find_sound_concept
from dbtui.core.run import Run
from dbtui.engine import draws
from dbtui.engine.latents import Source, encode_pictures
from dbtui.engine.models import Models
from dbtui.jobs.launch import launch
from dbtui.jobs.processes import cores

pytestmark = pytest.mark.skipif(cores() < 2, reason="each process needs a core")

SHARED = {
    "training.processes": 2,
    "training.accumulation": 2,
    "training.ema": True,
    "training.min_snr_gamma": 5.0,
    "training.text_encoder": True,
    "training.gradient_checkpointing": True,
    "prior.enabled": True,
    "prior.class_images": 6,
    "sampling.every": 8,
}
"""A run with all that two processes must agree on."""


class Team:
    """A run's supervisor and the two processes that it watches over."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.supervisor = psutil.Process(launch(run))
        self.trainers: list[psutil.Process] = []

    def is_there(self) -> bool:
        """Whether both trainers have been seen; they are numbered as they number themselves."""
        found = {process.environ().get("RANK", ""): process for process in self.supervisor.children()}
        self.trainers = [found[rank] for rank in ("0", "1") if rank in found]
        return len(self.trainers) == 2

    def is_gone(self) -> bool:
        return not any(map(alive, (self.supervisor, *self.trainers)))


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, wait_for: Callable) -> Iterator[Callable[..., Team]]:
    """``start(run, step, saved)`` launches two processes and returns once they have taken that step of the run.

    A checkpoint is written while the training goes on: that of step ``saved`` is on the disk then.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    teams: list[Team] = []

    def started(run: Run, step: int = 0, saved: int = 0) -> Team:
        reader, events = JournalReader(run.journal), []
        reader.read()
        teams.append(team := Team(run))
        wait_for(team.is_there, "two processes")

        def reached() -> bool:
            events.extend(reader.read())
            assert not any(isinstance(e, Ended) for e in events), (events[-1], run.log.read_text())
            taken = step == 0 or any(isinstance(e, Step) and e.step >= step for e in events)
            return taken and (saved == 0 or any(isinstance(e, Checkpoint) and e.step == saved for e in events))

        wait_for(reached, f"step {step}")
        return team

    yield started
    for team in teams:
        for process in filter(alive, (team.supervisor, *team.trainers)):
            process.kill()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(team.supervisor.pid, 0)


@pytest.fixture
def over(wait_for: Callable) -> Callable[[Team], None]:
    """Wait until no process of a team is left."""
    return lambda team: wait_for(team.is_gone, "all processes to end")


def dbtui(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dbtui", *arguments], capture_output=True, text=True, timeout=240)


def learned(concept: str) -> dict[str, Tensor]:
    entry = find_sound_concept(concept)
    files = ((part, entry.weights(part)) for part in entry.trained)
    return {f"{part} {k.removeprefix('text_model.')}": v for part, file in files for k, v in load_file(file).items()}


def base() -> dict[str, Tensor]:
    """The weights of the embedded model, by the names that ``learned`` gives."""
    model = paths.mini_dir() / "model"
    files = [(part, file) for part in ("unet", "text_encoder") for file in (model / part).glob("*.safetensors")]
    weights = {f"{part} {k}": v.float() for part, file in files for k, v in load_file(file).items()}
    return {name: weight for name, weight in weights.items() if not name.endswith("position_ids")}


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The mean difference of the weights."""
    assert one.keys() == other.keys()
    return sum(float((one[k] - other[k]).abs().sum()) for k in one) / sum(v.numel() for v in one.values())


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(bool((one[k] == other[k]).all()) for k in one)


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return {}


@pytest.fixture
def undisturbed(
    kept: dict[str, Any], begin_run: Callable, start: Callable, over: Callable, heard: Callable
) -> tuple[list[Event], dict[str, Tensor]]:
    """The journal and the weights of a run of two processes that nobody disturbed; trained once."""
    if not kept:
        run = begin_run(changes=SHARED)
        over(start(run))
        assert run.state().name == "done", (run.state(), run.log.read_text())
        kept.update(events=heard(run), weights=learned(run.state().concept))
    return kept["events"], kept["weights"]


def test_two_processes_learn_what_one_learns_and_keep_one_journal(
    undisturbed: tuple[list[Event], dict[str, Tensor]], begin_run: Callable, train: Callable, heard: Callable
) -> None:
    events, weights = undisturbed
    assert [e.step for e in events if isinstance(e, Step)] == list(range(1, 9))
    assert [(e.processes, e.steps) for e in events if isinstance(e, Started)] == [(2, 8)]
    assert [e.step for e in events if isinstance(e, Checkpoint)] == [3, 6]
    assert [e.step for e in events if isinstance(e, Sample)] == [8]
    assert [type(e) for e in events].count(Ended) == 1 and isinstance(events[-1], Ended)
    assert any("2 processes: 4 photos a step" in e.message for e in events if isinstance(e, Log))

    alone = begin_run(changes={**SHARED, "training.processes": 1, "training.batch_size": 4, "training.accumulation": 1})
    by_one = learned(train(alone).concept)
    way = distance(by_one, base())
    assert distance(weights, by_one) < way / 1000
    losses = [[e.loss for e in journal if isinstance(e, Step)] for journal in (events, heard(alone))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_process_that_dies_ends_the_run_and_nothing_that_was_learned_changes(
    undisturbed: tuple[list[Event], dict[str, Tensor]], begin_run: Callable, start: Callable, over: Callable
) -> None:
    run = begin_run(changes=SHARED)
    team = start(run, step=4, saved=3)
    team.supervisor.kill()
    over(team)
    assert run.state().name == "lost"
    assert [checkpoint.step for checkpoint in checkpoints(run.checkpoints)] == [3], "the trainers went on by themselves"

    team = start(run, step=7, saved=6)
    team.trainers[1].kill()
    over(team)
    state = run.state()
    assert (state.name, run.trainer()) == ("failed", None)
    assert "Process 2 of 2" in state.message and "SIGKILL" in state.message
    assert "checkpoint of step 6 was kept" in state.message and f"resume {run.id}" in state.hint

    over(start(run))
    assert run.state().name == "done", (run.state(), run.log.read_text())
    assert same(learned(run.state().concept), undisturbed[1])


def test_a_stopped_run_goes_on_in_another_number_of_processes(
    undisturbed: tuple[list[Event], dict[str, Tensor]], begin_run: Callable, start: Callable, over: Callable
) -> None:
    run = begin_run(changes=SHARED)
    team = start(run, step=2)
    stopped = dbtui("stop", run.id, "--json")
    assert stopped.returncode == 0, stopped.stderr
    over(team)
    state = run.state()
    newest, _ = newest_sound(run.checkpoints)
    assert newest is not None
    assert (state.name, state.step) == ("stopped", newest.step) == (json.loads(stopped.stdout)["state"], newest.step)
    assert 2 <= newest.step < 8

    refused = dbtui("resume", run.id, "--processes", "3")
    assert refused.returncode == 2 and ("share a step" in refused.stderr or "There are not 3" in refused.stderr)
    resumed = dbtui("resume", run.id, "--processes", "1", "--json")
    assert resumed.returncode == 0, resumed.stderr
    weights = learned(json.loads(resumed.stdout)["concept"])
    assert distance(weights, undisturbed[1]) < distance(weights, base()) / 1000


def test_a_signal_that_comes_at_once_is_a_wish_to_stop(begin_run: Callable, start: Callable, over: Callable) -> None:
    run = begin_run(changes={"training.processes": 2})
    team = start(run)
    team.supervisor.send_signal(signal.SIGTERM)
    over(team)
    assert run.state().name == "stopped", (run.state(), run.log.read_text())
    assert "SIGTERM" in run.state().message


def test_a_photo_that_breaks_one_process_ends_all_and_is_named(
    begin_run: Callable, start: Callable, over: Callable, mini: Models
) -> None:
    """A VAE that went wrong has kept latents of the photo that are too large for what is computed from them."""
    run = begin_run(changes={"training.processes": 2})
    sources = [Source(Path(p["path"]), p["sha256"]) for p in run.sources()]
    of_second_process = sources[draws.pick(1, len(sources), run.config.training.seed, "photo order")]
    wrong = replace(mini, vae=copy.deepcopy(mini.vae))
    wrong.vae.quant_conv.weight.data *= 1e30
    encode_pictures(wrong, [of_second_process], 64, DataConfig(), lambda done, total: None)

    over(start(run))
    state = run.state()
    assert (state.name, state.step) == ("failed", 0)
    assert "In step 1 the loss is" in state.message and "There is no checkpoint yet" in state.message
    named = [source.path.name for source in sources if source.path.name in state.message]
    assert named == [of_second_process.path.name]


def test_what_fails_before_the_first_step_is_said_by_the_leading_process(
    begin_run: Callable, start: Callable, over: Callable, photos: Path, photo: Callable
) -> None:
    for seed in range(3):
        photo(seed).save(photos / f"{seed}.png")
    run = begin_run(changes={"training.processes": 2, "data.folder": str(photos)})
    (photos / "1.png").unlink()
    over(start(run))
    state = run.state()
    assert state.name == "failed" and "1.png is gone" in state.message
