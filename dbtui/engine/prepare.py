"""Everything before the first step: the machine, the model, the class pictures, the latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator

from dbtui.core.base_model import BaseModel, find_model
from dbtui.core.config import Config
from dbtui.core.errors import printable
from dbtui.core.fields import AUTO
from dbtui.core.run import Run
from dbtui.engine import machine
from dbtui.engine.examples import Examples
from dbtui.engine.latents import Latents, Source, encode_pictures
from dbtui.engine.learner import Learner
from dbtui.engine.models import Models, load_models
from dbtui.engine.narrator import Narrator
from dbtui.engine.prior import make_class_pictures
from dbtui.engine.sampler import drawing_mode
from dbtui.engine.stopping import StopFlag

Progress = Callable[[int, int], None]


def prepare(run: Run, narrator: Narrator, stop: StopFlag) -> tuple[Learner, Examples, int]:
    """The learner and its examples, ready for the first step, and the resolution in pixels.

    Raises Stopped if that was asked for, DbtuiError for what a person can mend.
    """
    config = run.config

    def progress(phase: str, unit: str) -> Progress:
        def report(done: int, total: int) -> None:
            stop.check()
            narrator.phase(phase, done, total, unit)

        return report

    base = find_model(config.model.base)
    resolution = base.check_resolution(
        base.resolution if config.data.resolution == AUTO else int(config.data.resolution)
    )
    plan = make_plan(config, base, resolution)
    for notice in plan.notices:
        narrator.log(notice, "warning")
    narrator.log(f"Training {base.family} at {resolution} px on {plan.words()}.")
    accelerator = Accelerator(mixed_precision=plan.precision, cpu=plan.device == "cpu")
    narrator.phase("loading the model")
    models = load_models(base).to(accelerator.device)
    stop.check()
    _warn_of_long_prompts(models, config, narrator)
    pictures = _class_latents(models, config, resolution, progress) if config.prior.enabled else None
    photos = [Source(Path(p["path"]), p["sha256"]) for p in run.sources()]
    latents = encode_pictures(models, photos, resolution, config.data, progress("encoding the photos", "pictures"))
    prompts = [config.concept.prompt] + ([config.prior.class_prompt] if config.prior.enabled else [])
    learner = Learner(models, config.training, config.prior.weight, prompts, plan, accelerator)
    scaling = models.vae.config.scaling_factor
    return learner, Examples(latents, pictures, config.training, scaling, len(models.alphas)), resolution


def make_plan(config: Config, base: BaseModel, resolution: int) -> machine.Plan:
    """What is decided by the machine, for this model and these parameters."""
    trained = base.parameters["unet"]
    if config.training.text_encoder:
        trained += base.parameters["text_encoder"]
    pictures = config.training.batch_size * (2 if config.prior.enabled else 1)
    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return machine.make_plan(config.training, device, trained, resolution, pictures)


def _class_latents(
    models: Models, config: Config, resolution: int, progress: Callable[[str, str], Progress]
) -> Latents:
    modules = (models.unet, models.text_encoder)
    with drawing_mode(*modules):
        sources = make_class_pictures(models, config.prior, resolution, progress("making class pictures", "steps"))
    data = replace(config.data, center_crop=True, flip=False)
    return encode_pictures(models, sources, resolution, data, progress("encoding the class pictures", "pictures"))


def _warn_of_long_prompts(models: Models, config: Config, narrator: Narrator) -> None:
    for prompt in (config.concept.prompt, config.prior.class_prompt, *config.sampling.prompts):
        if models.words_cut(prompt):
            narrator.log(f"The model reads only the beginning of {printable(prompt[:40])!r}...", "warning")
