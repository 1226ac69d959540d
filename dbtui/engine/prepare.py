"""Everything before the first step: the machine, the model, the class pictures, the latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs

from dbtui.core.architecture import Architecture
from dbtui.core.base_model import find_model
from dbtui.core.checkpoints import Checkpoint
from dbtui.core.config import Config
from dbtui.core.errors import printable
from dbtui.core.fields import AUTO
from dbtui.core.run import Run
from dbtui.core.units import plural
from dbtui.engine import machine
from dbtui.engine.checkpoint import as_begun
from dbtui.engine.denoiser import graph_denoiser
from dbtui.engine.examples import Examples
from dbtui.engine.fitting import Fitting
from dbtui.engine.latents import Latents, Source, encode_pictures
from dbtui.engine.learner import Learner
from dbtui.engine.models import Models, load_models
from dbtui.engine.narrator import Narrator
from dbtui.engine.prior import make_class_pictures
from dbtui.engine.probe import free_memory
from dbtui.engine.ranks import ALONE, Ranks
from dbtui.engine.sampler import drawing_mode
from dbtui.engine.stopping import StopFlag
from dbtui.engine.trackers import accelerator_options

Progress = Callable[[int, int], None]


def prepare(
    run: Run, narrator: Narrator, stop: StopFlag, ranks: Ranks = ALONE, resume: Checkpoint | None = None
) -> tuple[Learner, Examples, int]:
    """The learner and its examples, ready for the first step, and the resolution in pixels.

    Its optimizer is the one that ``resume`` has the state of; that is not read yet.

    Raises Stopped if that was asked for, DbtuiError for what a person can mend.
    """
    config = run.config

    def progress(phase: str, unit: str) -> Progress:
        def report(done: int, total: int) -> None:
            stop.check()
            narrator.phase(phase, done, total, unit)

        return report

    base = find_model(config.model.base, prediction=config.model.prediction)
    resolution = base.check_resolution(
        base.resolution if config.data.resolution == AUTO else int(config.data.resolution)
    )
    config, other = as_begun(config.replace({"data.resolution": resolution}), resume)
    if other:
        narrator.log(other, "warning")
    architecture = Architecture.of(base)
    plan = make_plan(config, architecture, ranks)
    for notice in plan.notices:
        narrator.log(notice, "warning")
    narrator.log(f"Training {base.family} at {resolution} px on {plan.words()}{_sharing(config, ranks)}.")
    ddp = DistributedDataParallelKwargs(gradient_as_bucket_view=True)
    accelerator = Accelerator(
        mixed_precision=plan.precision, cpu=plan.device == "cpu", kwargs_handlers=[ddp], **accelerator_options(run)
    )
    narrator.phase("loading the model")
    models = load_models(base, device=accelerator.device)
    stop.check()
    _warn_of_long_prompts(models, config, narrator)
    pictures = (
        _class_latents(models, config, resolution, progress, accelerator, ranks, narrator)
        if config.prior.enabled
        else None
    )
    photos = [Source(Path(p["path"]), p["sha256"]) for p in run.sources()]
    with ranks.leader_first():
        latents = encode_pictures(models, photos, resolution, config.data, progress("encoding the photos", "pictures"))
    scaling = models.vae.config.scaling_factor
    examples = Examples(latents, pictures, config.training, scaling, len(models.alphas), ranks)

    fitting = Fitting(config, base, architecture, accelerator, examples, ranks, narrator)
    return fitting.learner(models, plan), examples, resolution


def _sharing(config: Config, ranks: Ranks) -> str:
    """How several processes share the work, as the end of a sentence."""
    if ranks.count == 1:
        return ""
    return f", in {ranks.count} processes: {plural(config.training.photos_per_step, 'photo')} a step"


def make_plan(config: Config, architecture: Architecture, ranks: Ranks) -> machine.Plan:
    """What is decided by the machine, for this model and these parameters."""
    apple = torch.backends.mps.is_available() and ranks.count == 1  # processes cannot share what an Apple GPU computes
    device = "cuda" if torch.cuda.is_available() else "mps" if apple else "cpu"
    free = free_memory(device)
    if ranks.count > 1:
        config = config.replace({"training.processes": ranks.count})
    plan = machine.make_plan(config, architecture, device, free)
    # All must go about it alike: as the process whose GPU has the least room.
    _, values = min(ranks.gather([free, asdict(plan)]), key=lambda said: said[0])
    return machine.Plan(**values)


def _class_latents(
    models: Models, config: Config, resolution: int, progress: Callable[[str, str], Progress],
    accelerator: Accelerator, ranks: Ranks, narrator: Narrator,
) -> Latents:  # fmt: skip
    making = progress("making class pictures", "steps")
    denoiser = graph_denoiser(models, config.sampling.graph, lambda words: narrator.log(words, "warning"))
    # They are only learned from: on a CPU, too, they may be drawn in 16 bit.
    half = torch.autocast("cpu", torch.bfloat16, enabled=machine.has_fast_bf16(accelerator.device.type))
    with drawing_mode(models.unet, models.text_encoder), accelerator.autocast(), half:
        sources = make_class_pictures(models, config.prior, resolution, making, ranks, denoiser)
    data = replace(config.data, center_crop=True, flip=False)
    with ranks.leader_first():
        return encode_pictures(models, sources, resolution, data, progress("encoding the class pictures", "pictures"))


def _warn_of_long_prompts(models: Models, config: Config, narrator: Narrator) -> None:
    for prompt in (config.concept.prompt, config.prior.class_prompt, *config.sampling.prompts):
        if models.words_cut(prompt):
            narrator.log(f"The model reads only the beginning of {printable(prompt[:40])!r}...", "warning")
