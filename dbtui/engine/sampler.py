"""Prompts become pictures: a seed for each, in batches that fit memory, cancelled between steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)
from PIL import Image
from torch import Tensor

from dbtui.core.memory import DRAWN
from dbtui.engine.denoiser import GraphDenoiser, PipelineUNet
from dbtui.engine.models import Models

SCHEDULERS: dict[str, tuple[type, dict[str, Any]]] = {
    "dpm++2m-karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "unipc": (UniPCMultistepScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler-a": (EulerAncestralDiscreteScheduler, {}),
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
}

LARGEST_BATCH = {**DRAWN, "cuda": 16}


class Cancelled(Exception):
    """The person asked for something else; raised between two denoising steps."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """One picture to make."""

    prompt: str
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How pictures are made; ``batch_size`` 0 is as many at a time as memory holds."""

    resolution: int
    negative: str = ""
    steps: int = 25
    guidance: float = 7.5
    scheduler: str = "dpm++2m-karras"
    batch_size: int = 0


@dataclass(slots=True)
class Safety:
    """The model's own safety checker, if it ships one and it is wanted."""

    checker: Any = None
    processor: Any = None
    flagged: list[int] = field(default_factory=list)
    """Indices of pictures that were blacked out."""


def batch_size(models: Models, settings: Settings) -> int:
    """Pictures drawn at a time, if memory holds them."""
    return settings.batch_size or LARGEST_BATCH[models.unet.device.type]


Progress = Callable[[int, int], None]
"""Called with (denoising steps done, all steps of all pictures); may raise Cancelled."""

Decode = Callable[[Tensor], Tensor]
"""Latents without noise to pixels from -1 to 1."""

Look = Callable[[int, int, Tensor], None]
"""Called with (the first picture of the batch, its denoising steps done, its latents as foreseen)."""


class Pace:
    """Keeps the program at most a step ahead of the GPU, so that what it says of its progress is true."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._last: torch.cuda.Event | None = None

    def step(self) -> None:
        """Wait for the step before the one that was just asked for; the GPU has that one to do meanwhile."""
        if not self._on_gpu:
            return
        before, self._last = self._last, torch.cuda.Event()
        self._last.record()
        if before is not None:
            before.synchronize()


@torch.no_grad()
def draw(
    models: Models,
    drawings: Sequence[Drawing],
    settings: Settings,
    progress: Progress = lambda done, total: None,
    safety: Safety | None = None,
    look: Look | None = None,
    denoiser: GraphDenoiser | None = None,
) -> Iterator[Image.Image]:
    """Yield the pictures in order. The noise of each depends on its seed alone, whatever the batch.

    ``denoiser`` predicts in the place of the UNet that it was made for, and decodes in that of the VAE. Raises Cancelled
    from ``progress``; on a GPU without enough memory for a batch the batch is halved, and only a single picture that
    does not fit raises torch.OutOfMemoryError.
    """
    if denoiser is not None and not denoiser.has_room():
        denoiser = None
    decode = (denoiser and denoiser.decoder) or (lambda latents: models.vae.decode(latents, return_dict=False)[0])
    pipe = _pipeline(models, settings, safety, denoiser)
    texts = {drawing.prompt for drawing in drawings} | {settings.negative}
    hidden = {text: models.embed([text]) for text in texts}
    size = batch_size(models, settings)
    done = 0
    while done < len(drawings):
        batch = drawings[done : done + size]
        try:
            latents = _draw_batch(pipe, hidden, batch, settings, done, len(drawings), progress, look)
            images, flagged = _decode(pipe, latents, decode)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size = max(1, len(batch) // 2)
            torch.cuda.empty_cache()
            continue
        if safety is not None:
            safety.flagged += [done + i for i, bad in enumerate(flagged) if bad]
        yield from images
        done += len(batch)


def _pipeline(
    models: Models, settings: Settings, safety: Safety | None, denoiser: GraphDenoiser | None = None
) -> StableDiffusionPipeline:
    base = PNDMScheduler.from_config(models.base.configs["scheduler"])
    scheduler, options = SCHEDULERS[settings.scheduler]
    pipe = StableDiffusionPipeline(
        vae=models.vae,
        text_encoder=models.text_encoder,
        tokenizer=models.tokenizer,
        unet=PipelineUNet(denoiser, models.unet) if denoiser else models.unet,
        scheduler=scheduler.from_config(base.config, **options),
        safety_checker=safety.checker if safety else None,
        feature_extractor=safety.processor if safety else None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _draw_batch(
    pipe: StableDiffusionPipeline,
    hidden: Mapping[str, Tensor],
    batch: Sequence[Drawing],
    settings: Settings,
    before: int,
    count: int,
    progress: Progress,
    look: Look | None,
) -> Tensor:
    """The batch's latents without noise."""
    pace = Pace(pipe.vae.device)

    def on_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pace.step()
        per_picture = len(pipe.scheduler.timesteps)
        progress(before * per_picture + len(batch) * (step + 1), count * per_picture)
        if look is not None:
            look(before, step + 1, _foreseen(pipe.scheduler, tensors["latents"], timestep))
        return tensors

    return pipe(
        prompt_embeds=torch.cat([hidden[d.prompt] for d in batch]),
        negative_prompt_embeds=hidden[settings.negative].expand(len(batch), -1, -1),
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        width=settings.resolution,
        height=settings.resolution,
        generator=[torch.Generator().manual_seed(d.seed) for d in batch],
        callback_on_step_end=on_step,
        output_type="latent",
    ).images


def _decode(pipe: StableDiffusionPipeline, latents: Tensor, decode: Decode) -> tuple[list[Image.Image], Sequence[bool]]:
    """The pictures, and which of them the safety checker blacked out; as many at a time as memory holds."""
    size, images, flagged = len(latents), [], []
    while len(images) < len(latents):
        part = latents[len(images) : len(images) + size]
        try:
            pixels = decode(part / pipe.vae.config.scaling_factor)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size = -(-size // 2)
            torch.cuda.empty_cache()
            continue
        pixels, bad = pipe.run_safety_checker(pixels, pixels.device, pixels.dtype)
        bad = bad or [False] * len(part)
        pixels[torch.tensor(bad, device=pixels.device)] = -1.0  # the checker's black is this scale's grey
        images += _pictures(pixels)
        flagged += bad
    return images, flagged


def _pictures(pixels: Tensor) -> list[Image.Image]:
    """Of ``pixels`` [N, 3, H, W] from -1 to 1. They are rounded where they are: a quarter of the bytes leaves the GPU."""
    colours = ((pixels * 0.5 + 0.5).clamp(0, 1).float() * 255).round().to(torch.uint8)
    return [Image.fromarray(picture) for picture in colours.permute(0, 2, 3, 1).cpu().numpy()]


def _foreseen(scheduler: Any, latents: Tensor, timestep: Any) -> Tensor:
    """The latents without their noise, where the solver says what it takes them to be; else with it, scaled to be seen."""
    if isinstance(scheduler, DPMSolverMultistepScheduler | UniPCMultistepScheduler):
        return scheduler.model_outputs[-1]
    return scheduler.scale_model_input(latents, timestep)


def load_safety(models: Models) -> Safety:
    """The safety checker in the model's folder. Raises OSError if its files are not there."""
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessor

    folder = models.base.path
    checker = StableDiffusionSafetyChecker.from_pretrained(
        folder, subfolder="safety_checker", use_safetensors=True, local_files_only=True, dtype=models.unet.dtype
    )
    processor = CLIPImageProcessor.from_pretrained(folder, subfolder="feature_extractor", local_files_only=True)
    return Safety(checker.to(models.unet.device), processor)


@contextlib.contextmanager
def drawing_mode(*modules: torch.nn.Module) -> Iterator[None]:
    """Modules as they are for drawing, and as they were afterwards."""
    before = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.train(training)
