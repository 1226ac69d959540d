"""Draws layouts: backdrops, objects laid over them, styles."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dbtui.mini.recipe.layout import STYLES, THINGS, Layout
from dbtui.mini.recipe.scenes import draw_backdrops

GREY = (0.299, 0.587, 0.114)
LEVELS = ((0.8, 1), (0.45, 2), (0.0, 3))
"""An object of at least this scale is drawn from a picture shrunk that many times, as an object seen from afar has no
finer detail: what a sampler would make of it would be noise, which costs the autoencoder and teaches nothing."""


class Renderer:
    """Draws at ``resolution`` on ``device``. ``emoji`` is [N, 4, side, side] of 8 bit; ``seed`` is the backdrops'."""

    def __init__(self, emoji: np.ndarray, resolution: int, device: torch.device | str, seed: int) -> None:
        self.resolution = resolution
        self.backdrops = torch.from_numpy(draw_backdrops(resolution, seed)).to(device)
        self.levels = torch.stack([_shrunk(torch.from_numpy(emoji).to(device), factor) for _, factor in LEVELS])

    def draw(self, layout: Layout) -> Tensor:
        """[N, 3, side, side] from -1 to 1; the same for the same layout."""
        picture = self._backdrop(layout)
        for i in range(THINGS):
            picture = self._lay(picture, layout, i)
        return _styled(picture.clamp(0, 1), layout.style) * 2 - 1

    def _backdrop(self, layout: Layout) -> Tensor:
        scene = self.backdrops[layout.backdrop].float() / 255
        scene = torch.where(layout.mirrored[:, None, None, None], scene.flip(3), scene) * layout.tint[:, :, None, None]
        down = torch.linspace(1.04, 0.93, self.resolution, device=scene.device)[None, None, :, None]
        plain = (layout.colour[:, :, None, None] * down).expand_as(scene)
        return torch.where(plain.isnan(), scene, plain).clamp(0, 1)

    def _lay(self, picture: Tensor, layout: Layout, i: int) -> Tensor:
        """Lay the ``i``-th objects over the pictures."""
        emoji, (x, y, scale, angle, width) = layout.emoji[:, i], layout.place[:, i].unbind(1)
        level = sum((scale < least).long() for least, _ in LEVELS[:-1])
        cutout = self.levels[level, emoji.clamp(min=0)].float() / 255
        colours = torch.einsum("ncd,ndhw->nchw", layout.look[:, i], cutout[:, :3]).clamp(0, 1)
        alpha = cutout[:, 3:] * (emoji >= 0)[:, None, None, None]
        # affine_grid maps the picture's coordinates, -1 to 1, to the cutout's
        across = torch.stack([angle.cos(), angle.sin(), -2 * (angle.cos() * x + angle.sin() * y)], 1)
        down = torch.stack([-angle.sin(), angle.cos(), 2 * (angle.sin() * x - angle.cos() * y)], 1)
        matrix = torch.stack([across / (scale * width)[:, None], down / scale[:, None]], 1)
        grid = F.affine_grid(matrix, list(picture.shape), align_corners=False)
        laid = F.grid_sample(torch.cat([colours * alpha, alpha], 1), grid, align_corners=False)
        return picture * (1 - laid[:, 3:]) + laid[:, :3]


def _shrunk(emoji: Tensor, factor: int) -> Tensor:
    """As if seen at ``1 / factor`` of the size, with alpha taken into account, at the size it had."""
    if factor == 1:
        return emoji
    side = emoji.shape[-1]
    made = []
    for part in emoji.split(64):
        part = part.float() / 255
        part = torch.cat([part[:, :3] * part[:, 3:], part[:, 3:]], 1)
        part = F.interpolate(part, size=side // factor, mode="bilinear", antialias=True)
        part = F.interpolate(part, size=side, mode="bilinear")
        part = torch.cat([part[:, :3] / part[:, 3:].clamp(min=1e-3), part[:, 3:]], 1)
        made.append((part.clamp(0, 1) * 255).round().byte())
    return torch.cat(made)


def _styled(picture: Tensor, style: Tensor) -> Tensor:
    """A drawing is what is left of the greys when those of the surroundings are divided out: its outlines."""
    grey = (picture * picture.new_tensor(GREY)[None, :, None, None]).sum(1, keepdim=True)
    reach = max(1, picture.shape[-1] // 32)
    around = F.avg_pool2d(F.pad(grey, [reach] * 4, mode="replicate"), 2 * reach + 1, stride=1)
    lines = ((grey + 0.12) / (around + 0.12)).clamp(0, 1) ** 2
    chosen = style[:, None, None, None]
    picture = torch.where(chosen == STYLES.index("black and white"), grey, picture)
    return torch.where(chosen == STYLES.index("drawing"), lines, picture)
