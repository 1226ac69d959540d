"""Class pictures for prior preservation: made once for a model and a class prompt, shared by all runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from dbtui.core import paths
from dbtui.core.config import PriorConfig
from dbtui.core.dataset import UnusableError, open_picture
from dbtui.core.fields import AUTO
from dbtui.core.grid import Recipe, save_png
from dbtui.core.weights import sha256
from dbtui.engine.latents import Source
from dbtui.engine.models import Models
from dbtui.engine.sampler import Drawing, Settings, batch_size, draw

SCHEDULER = "dpm++2m-karras"


def class_folder(models: Models, prior: PriorConfig, resolution: int) -> Path:
    """Where the class pictures of this model, prompt and size are kept."""
    made_from = {
        "model": models.base.fingerprint(),
        "prompt": prior.class_prompt,
        "resolution": resolution,
        "steps": prior.steps,
        "guidance": prior.guidance,
        "scheduler": SCHEDULER,
    }
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    return paths.cache_dir() / "class" / digest[:32]


def make_class_pictures(
    models: Models, prior: PriorConfig, resolution: int, progress: Callable[[int, int], None]
) -> list[Source]:
    """The class pictures, making those that are missing or damaged; picture i has seed i.

    ``progress`` is called with denoising steps done and in all; what it raises leaves the
    pictures made so far in the cache.
    """
    folder = paths.make_private(class_folder(models, prior, resolution))
    settings = Settings(
        resolution=resolution,
        steps=prior.steps,
        guidance=prior.guidance,
        scheduler=SCHEDULER,
        batch_size=0 if prior.batch_size == AUTO else int(prior.batch_size),
    )
    files = [folder / f"{seed:05}.png" for seed in range(prior.class_images)]
    missing = {seed for seed, file in enumerate(files) if not _sound(file, resolution)}
    seeds = _whole_batches(missing, len(files), batch_size(models, settings))
    images = draw(models, [Drawing(prior.class_prompt, seed) for seed in seeds], settings, progress)
    for seed, image in zip(seeds, images, strict=True):
        if seed in missing:
            recipe = Recipe(
                prompt=prior.class_prompt, steps=prior.steps, guidance=prior.guidance, scheduler=SCHEDULER,
                seed=seed, width=resolution, height=resolution, model=models.base.name,
            )  # fmt: skip
            save_png(image, files[seed], recipe.parameters())
    return [Source(file, sha256(file)) for file in files]


def _whole_batches(missing: set[int], count: int, size: int) -> list[int]:
    """The seeds of every batch that has one missing: a batch rounds alike only with the same members."""
    return [seed for seed in range(count) if missing & set(range(seed - seed % size, seed - seed % size + size))]


def _sound(file: Path, resolution: int) -> bool:
    try:
        return open_picture(file).size == (resolution, resolution)
    except UnusableError:
        return False
