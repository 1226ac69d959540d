"""Small pictures of what is being drawn: a linear map from latents and their neighbours to colours, in place of the VAE."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dbtui.core.dataset import open_picture
from dbtui.core.subjects import SUBJECTS
from dbtui.engine.models import Models

SIDE = 128
"""Pixels a side of the photos that the map is fitted on: the VAE takes any size, and needs little memory for this."""

REACH = 3
"""Latents a side that a pixel is made of: itself and what is around it."""

NOISE = 0.1
"""Deviation of the noise that the map expects in latents, whose own is about 1: it must not make more of it."""


class Previewer:
    """Keeps the map of the VAE that it was last asked for."""

    def __init__(self) -> None:
        self._vae: Path | None = None
        self._map = torch.zeros(0, 3)

    @torch.no_grad()
    def pictures(self, models: Models, latents: Tensor) -> list[Image.Image]:
        """Latents [pictures, 4, height, width], scaled as the UNet sees them, as one pixel for each."""
        if self._vae != models.base.weights["vae"]:
            self._map, self._vae = fit(models, _photos()), models.base.weights["vae"]
        colours = _surroundings(latents.detach().to("cpu", torch.float32)) @ self._map
        pixels = (colours.nan_to_num() * 255).round().clamp(0, 255).to(torch.uint8).numpy()
        return [Image.fromarray(picture) for picture in pixels]


@torch.no_grad()
def fit(models: Models, photos: Sequence[Image.Image]) -> Tensor:
    """The map [REACH * REACH * latent channels and one, RGB] that takes the VAE's latents of ``photos`` nearest to them.

    Least squares with a penalty (ridge regression): what noise in the latents would add to the error.
    """
    device, dtype = models.vae.device, models.vae.dtype
    pixels = torch.from_numpy(np.stack([np.asarray(photo, np.float32) / 255 for photo in photos])).permute(0, 3, 1, 2)
    parts = (pixels * 2 - 1).to(device, dtype).split(len(SUBJECTS))
    means = torch.cat([models.vae.encode(part).latent_dist.mean.float().cpu() for part in parts])
    seen = _surroundings(means * models.vae.config.scaling_factor).flatten(0, 2)
    colours = torch.nn.functional.adaptive_avg_pool2d(pixels, means.shape[2:]).permute(0, 2, 3, 1).flatten(0, 2)
    penalty = torch.full((seen.shape[1],), len(seen) * NOISE**2)
    penalty[-1] = 0  # of the constant
    return torch.linalg.solve(seen.T @ seen + penalty.diag(), seen.T @ colours)


def to_base64(picture: Image.Image) -> str:
    """A PNG, as it can be sent in a line."""
    data = BytesIO()
    picture.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode("ascii")


def _surroundings(latents: Tensor) -> Tensor:
    """For each place of ``latents`` [pictures, channels, height, width] what is there and around it, and a one."""
    height, width = latents.shape[2:]
    padded = torch.nn.functional.pad(latents, [REACH // 2] * 4, mode="replicate")
    columns = torch.nn.functional.unfold(padded, REACH).transpose(1, 2).unflatten(1, (height, width))
    return torch.cat([columns, torch.ones_like(columns[..., :1])], dim=-1)


def _photos() -> list[Image.Image]:
    """The photos of the sample subjects: many colours, and always at hand."""
    files = [file for subject in SUBJECTS.values() for file in sorted(subject.folder.glob("*.jpg"))]
    return [open_picture(file, SIDE).resize((SIDE, SIDE)) for file in files]
