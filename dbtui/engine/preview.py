"""Small pictures of what is being drawn: a linear map from latents to colours, in place of the VAE."""

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


class Previewer:
    """Keeps the map of the VAE that it was last asked for."""

    def __init__(self) -> None:
        self._vae: Path | None = None
        self._map = torch.zeros(5, 3)

    @torch.no_grad()
    def pictures(self, models: Models, latents: Tensor) -> list[Image.Image]:
        """Latents [pictures, 4, height, width], scaled as the UNet sees them, as one pixel for each."""
        if self._vae != models.base.weights["vae"]:
            self._map, self._vae = fit(models, _photos()), models.base.weights["vae"]
        colours = _with_one(latents.detach().to("cpu", torch.float32).permute(0, 2, 3, 1)) @ self._map
        pixels = (colours.nan_to_num() * 255).round().clamp(0, 255).to(torch.uint8).numpy()
        return [Image.fromarray(picture) for picture in pixels]


@torch.no_grad()
def fit(models: Models, photos: Sequence[Image.Image]) -> Tensor:
    """The map [latent channels and one, RGB] that takes the VAE's latents of ``photos`` nearest to them, by least squares."""
    device, dtype = models.vae.device, models.vae.dtype
    pixels = torch.from_numpy(np.stack([np.asarray(photo, np.float32) / 255 for photo in photos])).permute(0, 3, 1, 2)
    means = models.vae.encode((pixels * 2 - 1).to(device, dtype)).latent_dist.mean.float().cpu()
    latents = (means * models.vae.config.scaling_factor).permute(0, 2, 3, 1)
    colours = torch.nn.functional.adaptive_avg_pool2d(pixels, latents.shape[1:3]).permute(0, 2, 3, 1)
    return torch.linalg.lstsq(_with_one(latents).reshape(-1, latents.shape[-1] + 1), colours.reshape(-1, 3)).solution


def to_base64(picture: Image.Image) -> str:
    """A PNG, as it can be sent in a line."""
    data = BytesIO()
    picture.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode("ascii")


def _with_one(latents: Tensor) -> Tensor:
    return torch.cat([latents, torch.ones_like(latents[..., :1])], dim=-1)


def _photos() -> list[Image.Image]:
    """A photo of each sample subject: many colours, and always at hand."""
    files = [min(subject.folder.glob("*.jpg")) for subject in SUBJECTS.values()]
    return [open_picture(file, SIDE).resize((SIDE, SIDE)) for file in files]
