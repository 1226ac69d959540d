"""How fast pictures are drawn: a grid by the sampler, the same by diffusers' pipeline, and class pictures."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil
import torch
from diffusers import DPMSolverMultistepScheduler, PNDMScheduler, StableDiffusionPipeline

from dbtui.core.base_model import BaseModel
from dbtui.core.benchmark import Order, Row
from dbtui.core.config import PriorConfig
from dbtui.core.errors import DbtuiError
from dbtui.engine.denoiser import graph_denoiser
from dbtui.engine.models import Models, load_models
from dbtui.engine.sampler import LARGEST_BATCH, Drawing, Settings, draw

PROMPT = "a photo of sks toy"
GRID, ROW = 9, 3
"""Pictures of a grid, and those that diffusers' pipeline is given at a time, as its users do."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to draw ``count`` pictures; ``precision`` is that on an NVIDIA GPU, where ``autocast`` says how it comes about.

    ``steps`` None: as many as are asked for.
    """

    what: str
    how: str
    count: int
    precision: str = "fp16"
    autocast: bool = False
    graph: bool = False
    pipeline: bool = False
    steps: int | None = None


def ways_of_drawing(order: Order, device: str) -> list[Way]:
    """Those that are compared on ``device``."""
    gpu = device == "cuda"
    half = "bf16" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    prior = {"count": LARGEST_BATCH[device], "precision": half, "autocast": True, "steps": PriorConfig().steps}
    ways = [
        Way("sampling", "3x3 grid, plain", GRID),
        Way("sampling", "3x3 grid, CUDA graph", GRID, graph=True),
        Way("class pictures", "plain", **prior),
        Way("class pictures", "CUDA graph", **prior, graph=True),
        Way("diffusers", f"3x3 grid, {ROW} at a time", GRID, pipeline=True),
    ]
    return [way for way in ways if (gpu or not way.graph) and (bool(order.against) or not way.pipeline)]


def time_drawing(way: Way, steps: int, model: str, base: BaseModel, device: str, resolution: int) -> Row:
    """The pictures on a model that is warm: a GPU draws them twice, and the second time counts.

    Raises DbtuiError if it was another way after all.
    """
    said: list[str] = []
    steps = way.steps or steps
    models = load_models(base)
    gpu = device == "cuda"
    models.to(device, torch.float16 if gpu and not way.autocast else None)
    work = _work(way, models, Settings(resolution=resolution, steps=steps), said)
    numbers = torch.bfloat16 if way.precision == "bf16" else torch.float16
    with torch.autocast("cuda", numbers) if gpu and way.autocast else contextlib.nullcontext():
        for _ in range(2 if gpu else 1):
            began = time.monotonic()
            work()
            if gpu:
                torch.cuda.synchronize()
            seconds = time.monotonic() - began
    if said:
        raise DbtuiError(said[0], "", "")
    return Row(
        what=way.what, model=model, resolution=resolution, batch=way.count, precision=way.precision if gpu else "no",
        how=f"{way.how}, {steps} steps", milliseconds=seconds * 1000, pictures=way.count / seconds,
        memory=peak_memory(),
    )  # fmt: skip


def _work(way: Way, models: Models, settings: Settings, said: list[str]) -> Callable[[], object]:
    if way.pipeline:
        return lambda: list(_by_pipeline(models, settings))
    denoiser = graph_denoiser(models, way.graph, said.append)
    drawings = [Drawing(PROMPT, seed) for seed in range(way.count)]
    return lambda: list(draw(models, drawings, settings, denoiser=denoiser))


def _by_pipeline(models: Models, settings: Settings) -> Iterator[object]:
    """The grid as diffusers' documentation draws pictures."""
    base = PNDMScheduler.from_config(models.base.configs["scheduler"])
    pipe = StableDiffusionPipeline(
        vae=models.vae, text_encoder=models.text_encoder, tokenizer=models.tokenizer, unet=models.unet,
        scheduler=DPMSolverMultistepScheduler.from_config(base.config, use_karras_sigmas=True),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    size = {"height": settings.resolution, "width": settings.resolution}
    for first in range(0, GRID, ROW):
        seeds = [torch.Generator().manual_seed(first + i) for i in range(ROW)]
        yield from pipe(
            [PROMPT] * ROW,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            generator=seeds,
            **size,
        ).images


def peak_memory() -> int:
    """Bytes: the device's since it was last reset, or this process's now where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved()
    return int(psutil.Process().memory_info().rss)
