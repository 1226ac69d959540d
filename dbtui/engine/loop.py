"""The training, from the run folder to the concept in the library, read top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from safetensors import SafetensorError

from dbtui.core import checkpoints, paths
from dbtui.core.architecture import Architecture
from dbtui.core.base_model import BaseModel
from dbtui.core.budget import CHECKPOINT_SECONDS, concept_bytes
from dbtui.core.config import Config
from dbtui.core.errors import DbtuiError, obstacle, printable
from dbtui.core.events import Checkpoint, Ended, Sample, Step
from dbtui.core.fields import AUTO
from dbtui.core.grid import make_grid, save_png
from dbtui.core.rank import Rank
from dbtui.core.run import Run
from dbtui.engine.checkpoint import load_checkpoint, publish_concept
from dbtui.engine.denoiser import GraphDenoiser, graph_denoiser
from dbtui.engine.disk_room import await_room
from dbtui.engine.examples import Examples
from dbtui.engine.fitting import remember_speed
from dbtui.engine.learner import Learner, NotFiniteError, Outcome, Taken
from dbtui.engine.narrator import Narrator
from dbtui.engine.prepare import prepare
from dbtui.engine.probe import has_plenty
from dbtui.engine.ranks import Ranks
from dbtui.engine.sampler import Drawing, Settings, draw, drawing_mode
from dbtui.engine.saver import Saver
from dbtui.engine.stopping import StopFlag
from dbtui.engine.trackers import tracked

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
    ranks: Ranks
    saver: Saver
    denoiser: GraphDenoiser | None = None
    """What samples are drawn by, if not the UNet itself."""
    saved: int = -1
    """The step of the last checkpoint written or read; of several processes the leading one knows."""
    untold: tuple[int, Taken, float] | None = None
    """A step that the journal does not have yet, since a GPU may be working on it, and when it was begun."""
    told: float = 0.0
    """When the last step was written to the journal."""
    safe: float = field(default_factory=time.monotonic)
    """When the state was last what a resume would find, or is about to."""

    def kept(self) -> str:
        """What a resume would start from."""
        return f"The checkpoint of step {self.saved} was kept" if self.saved >= 0 else "There is no checkpoint yet"


def train(run: Run, narrator: Narrator, stop: StopFlag, resume: checkpoints.Checkpoint | None) -> Ended:
    """Train ``run`` from ``resume`` or the start; returns how it ended.

    One of several processes does its share; the leading one decides where to start, and alone writes.
    Raises Stopped before there is anything to save, DbtuiError for what a person can mend.
    """
    ranks = Ranks.join(Rank.of_environment())
    found = ranks.as_leader(str(resume.path) if resume else "")
    checkpoint = checkpoints.Checkpoint(Path(found)) if found else None
    narrator.step = start = checkpoint.step if checkpoint else 0
    learner, examples, resolution = prepare(run, narrator, stop, ranks, checkpoint)
    saver = Saver(run, run.config.training.checkpoints_kept)
    wanted = run.config.sampling.graph and ranks.leads
    denoiser = graph_denoiser(learner.models, wanted, lambda words: narrator.log(words, "warning"))
    session = Session(run, run.config, narrator, stop, learner, examples, resolution, ranks, saver, denoiser)
    if ranks.leads:  # gigabytes are read for it, once for each base model: the concept will name it
        Thread(target=_remember, args=(learner.models.base,), daemon=True).start()
    if checkpoint is not None:
        load_checkpoint(learner, checkpoint)
        session.saved = start
        narrator.log(f"Resumed at step {start}.")
    with tracked(run, learner.accelerator, narrator, start) if ranks.leads else nullcontext():
        try:
            ended = learn(session, start)
        finally:
            settle(session)  # whatever ends the training, what is being written is whole
    ranks.wait()  # the leading process may still be saving, and when one goes the others follow
    return ended


def _remember(base: BaseModel) -> None:
    with suppress(OSError):  # whoever needs it will say so
        base.fingerprint()


def learn(session: Session, start: int) -> Ended:
    """The steps from ``start`` to the last, or until a stop is asked for, and what is saved of them."""
    config, leads = session.config, session.ranks.leads
    session.narrator.phase("training", start, config.training.steps, "steps")
    for step in range(start, config.training.steps):
        if leads:
            take_requests(session, step)
        if session.ranks.any(bool(session.stop)):
            tell(session)
            return end_early(session, step)
        take_step(session, step)
        if session.saver.over:
            settle(session)
        done = step + 1
        if leads and (due(config.sampling.every, done) or (done == config.training.steps and config.sampling.every)):
            sample(session, done)
        if leads and done < config.training.steps and checkpoint_due(session, done):
            save(session, done)
    tell(session)
    settle(session)
    return publish(session)


def publish(session: Session) -> Ended:
    """Put the concept into the library, once there is room for it. Raises DbtuiError if the disk does not take it."""
    steps = session.config.training.steps
    if not session.ranks.leads:
        return Ended(reason="done", step=steps)
    session.narrator.phase("saving the concept")
    try:
        concept = publish_concept(session.learner, session.run, session.resolution)
    except WRITE_ERRORS as error:
        needed = concept_bytes(session.config, Architecture.of(session.learner.models.base))
        # Of several processes the others would not wait that long.
        if session.ranks.count == 1 and await_room(paths.concepts_dir(), needed, session.narrator, session.stop):
            return publish(session)
        raise DbtuiError(
            "The concept could not be saved",
            f"{_reason(error)} Nothing of it was left in the library. {session.kept()}.",
            f"Make room and `dbtui resume {session.run.id}`.",
        ) from error
    remember_speed(session.run, session.learner, session.resolution)
    checkpoints.keep_weights_only(session.run.checkpoints)
    return Ended(reason="done", step=steps, concept=concept.name)


def due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def checkpoint_due(session: Session, step: int) -> bool:
    every = session.config.training.checkpoint_every
    if every != AUTO:
        return due(int(every), step)
    return time.monotonic() - session.safe >= CHECKPOINT_SECONDS


def take_step(session: Session, step: int) -> None:
    """One optimizer step. Its line in the journal may come after the next, so that no GPU is waited for."""
    began = time.monotonic()
    try:
        taken = session.learner.step(step, list(session.examples.of_step(step)))
    except NotFiniteError as error:
        raise not_finite(session, step, error) from error
    tell(session)
    session.untold = (step, taken, began)
    if taken.over():
        tell(session)


def tell(session: Session) -> None:
    """Write the step that was taken last to the journal, waiting for its end if need be."""
    if session.untold is None:
        return
    (step, taken, began), session.untold = session.untold, None
    try:
        outcome = taken.outcome()
    except NotFiniteError as error:
        raise not_finite(session, step, error) from error
    now = time.monotonic()
    session.narrator.say(_event(session, step + 1, outcome, now - max(began, session.told)))
    session.told = now


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
    """The same words in every process, since any of them may be the first to say them."""
    settle(session)
    session.saved = session.ranks.as_leader(session.saved)
    return DbtuiError(
        "The training broke down",
        f"In step {step + 1} {error}, with {', '.join(map(printable, error.names))}. The step was not taken. {session.kept()}.",
        "Start a new run with a lower training.learning_rate"
        + (" or training.precision=bf16." if session.config.training.precision == "fp16" else "."),
    )


def end_early(session: Session, step: int) -> Ended:
    """Save and say why the run ends before its last step."""
    if not session.ranks.leads:
        return Ended(reason="stopped", step=step)
    settle(session)
    if session.saved != step:
        save(session, step)
        settle(session)
    sound = session.saved == step
    kept = f"It can be resumed at step {step}." if sound else "The state of this step could not be saved."
    return Ended(reason="stopped", step=step, message=f"Stopped ({session.stop.reason}). {kept}")


def save(session: Session, step: int) -> None:
    """Begin to write a checkpoint; the one before is ended first. ``settle`` says what became of it."""
    tell(session)
    settle(session)
    session.narrator.phase("saving a checkpoint")
    session.safe = time.monotonic()
    session.saver.begin(session.learner, step)
    session.narrator.phase("training", step, session.config.training.steps, "steps")


def settle(session: Session) -> None:
    """Wait for the checkpoint that is being written and tell of it; a disk that is full costs it, not the run."""
    if not session.saver.busy:
        return
    step = session.saver.step
    try:
        saved = session.saver.end()
    except WRITE_ERRORS as error:
        session.narrator.log(
            f"The checkpoint of step {step} could not be written. {_reason(error)} Earlier ones were kept.", "warning"
        )
        return
    session.saved = step
    path = f"checkpoints/{saved.name}"
    session.narrator.say(
        Checkpoint(step=step, path=path, size=saved.size, seconds=saved.seconds, stalled=saved.stalled)
    )


def take_requests(session: Session, step: int) -> None:
    """Save and sample as asked for from outside."""
    for request in session.run.take_requests():
        if request["request"] == "sample":
            sample(session, step, str(request.get("prompt", "")))
        elif step not in (session.saved, session.saver.step):
            save(session, step)


def sample(session: Session, step: int, prompt: str = "") -> None:
    """A grid from the weights as they are: of the run's prompts, or of one that was asked for.

    Never raises: a sample that fails is a line in the journal, and the training goes on.
    """
    tell(session)
    sampling = session.config.sampling
    prompts = [prompt] if prompt else sampling.prompts or [session.config.concept.prompt]
    seeds = list(range(sampling.seed, sampling.seed + sampling.count))
    settings = Settings(
        resolution=session.resolution, steps=sampling.steps, guidance=sampling.guidance, scheduler=sampling.scheduler
    )
    name = f"asked-{step:06}-{time.time_ns()}.png" if prompt else f"step-{step:06}.png"
    session.narrator.phase("sampling")
    learner, stop = session.learner, session.stop
    try:
        with drawing_mode(*learner.trained.values()), learner.accelerator.autocast():
            if session.denoiser is not None:
                session.denoiser.refresh()
            images = list(
                draw(
                    learner.models,
                    [Drawing(text, seed) for text in prompts for seed in seeds],
                    settings,
                    _until_stopped(stop, session.narrator, "sampling"),
                    denoiser=session.denoiser,
                )
            )
        save_png(make_grid(images, len(seeds)), session.run.samples / name, " | ".join(prompts))
    except Exception as error:  # the pictures are for looking; whatever is wrong with them, the run is not
        if stop:
            session.narrator.log("The sample was left out, since the run is to stop.")
        else:
            session.narrator.log(f"A sample failed. {_reason(error)} The training goes on.", "warning")
    else:
        session.narrator.say(Sample(step=step, path=f"samples/{name}", prompts=prompts, seeds=seeds))
    if session.denoiser is not None and not has_plenty(learner.accelerator.device.type):
        session.denoiser.release()  # the next step may need the room
    session.narrator.phase("training", step, session.config.training.steps, "steps")


def _reason(error: Exception) -> str:
    """What went wrong, in a sentence."""
    return obstacle(error)[0] if isinstance(error, OSError) else f"{error or type(error).__name__}."


def _until_stopped(stop: StopFlag, narrator: Narrator, phase: str) -> Callable[[int, int], Any]:
    def progress(done: int, total: int) -> None:
        stop.check()
        narrator.phase(phase, done, total, "steps")

    return progress
