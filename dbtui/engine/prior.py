"""Class pictures for prior preservation: made once for a model and a class prompt, shared by all runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbtui.core import paths
from dbtui.core.cache import ABOUT, touch
from dbtui.core.checksums import Checksums, holds
from dbtui.core.config import PriorConfig
from dbtui.core.fields import AUTO
from dbtui.core.grid import Recipe, save_png
from dbtui.engine.denoiser import GraphDenoiser
from dbtui.engine.latents import Source
from dbtui.engine.models import Models
from dbtui.engine.ranks import ALONE, Ranks
from dbtui.engine.sampler import Drawing, Settings, batch_size, draw

SCHEDULER = "dpm++2m-karras"


def _made_from(models: Models, prior: PriorConfig, resolution: int) -> dict[str, Any]:
    """All that decides what the class pictures look like."""
    return {
        "model": models.base.fingerprint(),
        "prompt": prior.class_prompt,
        "resolution": resolution,
        "steps": prior.steps,
        "guidance": prior.guidance,
        "scheduler": SCHEDULER,
    }


def class_folder(models: Models, prior: PriorConfig, resolution: int) -> Path:
    """Where the class pictures of this model, prompt and size are kept."""
    made_from = json.dumps(_made_from(models, prior, resolution), sort_keys=True)
    return paths.cache_dir() / "class" / hashlib.sha256(made_from.encode()).hexdigest()[:32]


def _describe(folder: Path, models: Models, prior: PriorConfig, resolution: int) -> None:
    """Say in the folder what its pictures were made from, by the model's name, for a person who looks into it."""
    about = json.dumps({**_made_from(models, prior, resolution), "model": models.base.name}, indent=1)
    file = folder / ABOUT
    if not file.is_file() or file.read_bytes() != about.encode():
        paths.write_atomic(file, about)


def make_class_pictures(
    models: Models,
    prior: PriorConfig,
    resolution: int,
    progress: Callable[[int, int], None],
    ranks: Ranks = ALONE,
    denoiser: GraphDenoiser | None = None,
) -> list[Source]:
    """The class pictures, making those that are missing or damaged; picture i has seed i.

    Several processes each make their share. ``progress`` is called with denoising steps done and in all;
    what it raises leaves the pictures made so far in the cache.
    """
    folder = paths.make_private(class_folder(models, prior, resolution))
    _describe(folder, models, prior, resolution)
    touch(folder)
    checksums = Checksums(folder)
    settings = Settings(
        resolution=resolution,
        steps=prior.steps,
        guidance=prior.guidance,
        scheduler=SCHEDULER,
        batch_size=0 if prior.batch_size == AUTO else int(prior.batch_size),
    )
    files = [folder / f"{seed:05}.png" for seed in range(prior.class_images)]
    known = checksums.read()
    missing = {seed for seed, file in enumerate(files) if not holds(file, known.get(file.name))}
    seeds = _whole_batches(missing, len(files), batch_size(models, settings), ranks)
    images = draw(models, [Drawing(prior.class_prompt, seed) for seed in seeds], settings, progress, denoiser=denoiser)
    for seed, image in zip(seeds, images, strict=True):
        if seed in missing:
            recipe = Recipe(
                prompt=prior.class_prompt, steps=prior.steps, guidance=prior.guidance, scheduler=SCHEDULER,
                seed=seed, width=resolution, height=resolution, model=models.base.name,
            )  # fmt: skip
            save_png(image, files[seed], recipe.parameters())
            checksums.add(files[seed])
    ranks.wait()
    known = checksums.read()
    return [Source(file, known[file.name]) for file in files]


def _whole_batches(missing: set[int], count: int, size: int, ranks: Ranks) -> list[int]:
    """The seeds of every batch that has one missing: a batch rounds alike only with the same members.

    Batches go round the processes by their number, so that what another has just made moves none of them.
    """
    batches = [range(first, min(first + size, count)) for first in range(0, count, size)]
    return [seed for batch in batches[ranks.index :: ranks.count] if missing & set(batch) for seed in batch]
