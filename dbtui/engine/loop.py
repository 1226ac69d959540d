"""The training, from the run folder to the concept in the library, read top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError

from dbtui.core import checkpoints
from dbtui.core.config import Config
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.events import Checkpoint, Ended, Sample, Step
from dbtui.core.grid import make_grid, save_png
from dbtui.core.library import Concept
from dbtui.core.run import Run
from dbtui.engine.checkpoint import load_checkpoint, publish_concept, save_checkpoint
from dbtui.engine.examples import Examples
from dbtui.engine.learner import Learner, NotFiniteError, Outcome
from dbtui.engine.narrator import Narrator
from dbtui.engine.prepare import prepare
from dbtui.engine.sampler import Drawing, Settings, draw, drawing_mode
from dbtui.engine.stopping import StopFlag

WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)
"""What a write that fails raises: torch reports it as a RuntimeError, safetensors as its own."""


@dataclass(slots=True)
class Session:
    """One trainer's work on a run."""

    run: Run
    config: Config
    narrator: Narrator
    stop: StopFlag
    learner: Learner
    examples: Examples
    resolution: int
    saved: int = -1
    """The step of the last checkpoint written or read."""

    def kept(self) -> str:
        """What a resume would start from."""
        return f"The checkpoint of step {self.saved} was kept" if self.saved >= 0 else "There is no checkpoint yet"


def train(run: Run, narrator: Narrator, stop: StopFlag, resume: checkpoints.Checkpoint | None) -> Ended:
    """Train ``run`` from ``resume`` or the start; returns how it ended.

    Raises Stopped before there is anything to save, DbtuiError for what a person can mend.
    """
    config = run.config
    learner, examples, resolution = prepare(run, narrator, stop)
    session = Session(run, config, narrator, stop, learner, examples, resolution)
    start = 0
    if resume is not None:
        load_checkpoint(learner, resume)
        start = session.saved = resume.step
        narrator.log(f"Resumed at step {start}.")
    narrator.phase("training", start, config.training.steps, "steps")
    for step in range(start, config.training.steps):
        take_requests(session, step)
        if stop:
            return end_early(session, step)
        take_step(session, step)
        done = step + 1
        if due(config.sampling.every, done) or (done == config.training.steps and config.sampling.every):
            sample(session, done)
        if due(config.training.checkpoint_every, done) and done < config.training.steps:
            save(session, done)
    narrator.phase("saving the concept")
    concept = publish(session)
    checkpoints.keep_weights_only(run.checkpoints)
    return Ended(reason="done", step=config.training.steps, concept=concept.name)


def publish(session: Session) -> Concept:
    """Put the concept into the library. Raises DbtuiError if the disk does not take it."""
    try:
        return publish_concept(session.learner, session.run, session.resolution)
    except WRITE_ERRORS as error:
        raise DbtuiError(
            "The concept could not be saved",
            f"{error}. Nothing of it was left in the library. {session.kept()}.",
            f"Make room and `dbtui resume {session.run.id}`.",
        ) from error


def due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def take_step(session: Session, step: int) -> None:
    """One optimizer step and its line in the journal."""
    started = time.monotonic()
    try:
        outcome = session.learner.step(step, list(session.examples.of_step(step)))
    except NotFiniteError as error:
        raise not_finite(session, step, error) from error
    session.narrator.say(_event(session, step + 1, outcome, time.monotonic() - started))


def _event(session: Session, step: int, outcome: Outcome, seconds: float) -> Step:
    return Step(
        step=step,
        loss=outcome.loss,
        instance_loss=outcome.instance_loss,
        prior_loss=outcome.prior_loss,
        learning_rate=outcome.learning_rate,
        grad_norm=outcome.grad_norm,
        seconds=seconds,
        epoch=session.examples.epoch(step),
        memory=torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0,
    )


def not_finite(session: Session, step: int, error: NotFiniteError) -> DbtuiError:
    return DbtuiError(
        "The training broke down",
        f"In step {step + 1} {error}, with {', '.join(map(printable, error.names))}. The step was not taken. {session.kept()}.",
        "Start a new run with a lower training.learning_rate"
        + (" or training.precision=bf16." if session.config.training.precision == "fp16" else "."),
    )


def end_early(session: Session, step: int) -> Ended:
    """Save and say why the run ends before its last step."""
    saved = session.saved == step or save(session, step)
    kept = f"It can be resumed at step {step}." if saved else "The state of this step could not be saved."
    return Ended(reason="stopped", step=step, message=f"Stopped ({session.stop.reason}). {kept}")


def save(session: Session, step: int) -> bool:
    """Write a checkpoint; a disk that is full costs the checkpoint, not the run."""
    started = time.monotonic()
    session.narrator.phase("saving a checkpoint")
    try:
        written = save_checkpoint(session.learner, session.run, step, session.config.training.checkpoints_kept)
    except WRITE_ERRORS as error:
        session.narrator.log(
            f"The checkpoint of step {step} could not be written: {error}. Earlier ones were kept.", "warning"
        )
        return False
    session.saved = step
    size = sum(f.stat().st_size for f in written.path.iterdir())
    session.narrator.say(
        Checkpoint(step=step, path=f"checkpoints/{written.path.name}", size=size, seconds=time.monotonic() - started)
    )
    session.narrator.phase("training", step, session.config.training.steps, "steps")
    return True


def take_requests(session: Session, step: int) -> None:
    """Save and sample as asked for from outside."""
    for request in session.run.take_requests():
        if request["request"] == "sample":
            sample(session, step, str(request.get("prompt", "")))
        elif session.saved != step:
            save(session, step)


def sample(session: Session, step: int, prompt: str = "") -> None:
    """A grid from the weights as they are: of the run's prompts, or of one that was asked for.

    Never raises: a sample that fails is a line in the journal, and the training goes on.
    """
    sampling = session.config.sampling
    prompts = [prompt] if prompt else sampling.prompts or [session.config.concept.prompt]
    seeds = list(range(sampling.seed, sampling.seed + sampling.count))
    settings = Settings(
        resolution=session.resolution, steps=sampling.steps, guidance=sampling.guidance, scheduler=sampling.scheduler
    )
    name = f"asked-{step:06}-{time.time_ns()}.png" if prompt else f"step-{step:06}.png"
    learner, stop = session.learner, session.stop
    try:
        with drawing_mode(*learner.trained.values()), learner.accelerator.autocast():
            images = list(
                draw(
                    learner.models,
                    [Drawing(text, seed) for text in prompts for seed in seeds],
                    settings,
                    _until_stopped(stop, session.narrator, "sampling"),
                )
            )
        save_png(make_grid(images, len(seeds)), session.run.samples / name, " | ".join(prompts))
    except Exception as error:  # the pictures are for looking; whatever is wrong with them, the run is not
        if stop:
            session.narrator.log("The sample was left out, since the run is to stop.")
        else:
            session.narrator.log(f"A sample failed: {error or type(error).__name__}. The training goes on.", "warning")
    else:
        session.narrator.say(Sample(step=step, path=f"samples/{name}", prompts=prompts, seeds=seeds))
    session.narrator.phase("training", step, session.config.training.steps, "steps")


def _until_stopped(stop: StopFlag, narrator: Narrator, phase: str) -> Callable[[int, int], Any]:
    def progress(done: int, total: int) -> None:
        stop.check()
        narrator.phase(phase, done, total, "steps")

    return progress
