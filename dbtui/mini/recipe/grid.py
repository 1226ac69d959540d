"""Grids to look at: what the autoencoder keeps, and what the model draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image, ImageDraw
from torch import Tensor

PROMPTS = (
    "a photo of a cat", "a photo of a red apple", "a close up of a ladybug", "a close up of a lion",
    "a bicycle on the beach", "a dog face riding a bicycle", "a guitar next to a pizza", "a photo of a rocket at night",
    "a photo of a penguin in the snow", "a fish under water", "a black and white photo of a violin",
    "a monkey riding a motorcycle in the desert", "a hamburger on a wooden table", "a car in a city",
    "a photo of an owl in a forest", "a cow on the grass at sunset", "a drawing of a castle", "a tractor in the rain",
    "a photo of a toy", "a photo of an animal", "a photo of a vehicle", "a photo of a sweet",
    "a photo of a food", "a photo of a bird", "a photo of a truck", "a toy on a blue background",
    "a photo of zwx animal", "a photo of sks toy", "a photo of sks bird in a city", "a chair in front of a brick wall",
)  # fmt: skip
EACH = 4
MARGIN = 12


def to_picture(tensor: Tensor) -> Image.Image:
    """A picture of [3, side, side] from -1 to 1."""
    values = ((tensor.detach().float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(values.permute(1, 2, 0).cpu().numpy())


def join(pictures: Sequence[Image.Image], columns: int, titles: Sequence[str] = ()) -> Image.Image:
    """Pictures of one size side by side; the n-th title stands above the n-th group of EACH."""
    side = pictures[0].width + 2
    height = side + (MARGIN if titles else 0)
    sheet = Image.new("RGB", (columns * side, -(-len(pictures) // columns) * height))
    draw = ImageDraw.Draw(sheet)
    for i, picture in enumerate(pictures):
        left, top = i % columns * side, i // columns * height
        sheet.paste(picture, (left, top + height - side))
        if titles and i % EACH == 0:
            draw.text((left + 2, top), titles[i // EACH], fill="white")
    return sheet


@torch.no_grad()
def draw_reconstructions(vae: AutoencoderKL, pictures: Tensor, path: Path) -> None:
    """Each picture above what the autoencoder makes of it."""
    made = vae.decode(vae.encode(pictures).latent_dist.mean).sample
    join([to_picture(p) for p in (*pictures, *made)], len(pictures)).save(path, quality=92)


def draw_samples(
    pipe: StableDiffusionPipeline, path: Path, prompts: Sequence[str] = PROMPTS, guidance: float = 7.5, steps: int = 25
) -> None:
    """Four pictures for each prompt, from seeds 0 to 3, twelve in a row."""
    made = []
    for prompt in prompts:
        seeds = [torch.Generator().manual_seed(seed) for seed in range(EACH)]
        made += pipe([prompt] * EACH, generator=seeds, guidance_scale=guidance, num_inference_steps=steps).images
    join(made, 3 * EACH, prompts).save(path, quality=90)
