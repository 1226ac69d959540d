"""A classifier that tells which emoji a picture shows and where: how well a model draws, and what it was taught, in figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dbtui.mini.recipe.compositions import Composer
from dbtui.mini.recipe.emoji import Emoji
from dbtui.mini.recipe.layout import Layout, pack
from dbtui.mini.recipe.rendering import Renderer
from dbtui.mini.recipe.scenes import SCENES, VARIANTS

SIDE = 128
WIDTHS = (48, 96, 192, 384)

PAIRS, BARE, MELTED = 0.15, 0.04, 0.08
"""Shares of the pictures that are learned from: two objects, a backdrop alone, an object that is none any more."""

DECODED = 0.5
"""Share of the pictures that have gone through the autoencoder of the model that is judged."""

LAYOUTS = 24_000
"""Compositions that are drawn over and over, each time with other objects."""


class Judge(nn.Module):
    """Pictures [N, 3, 128, 128] in [-1, 1] to scores [N, objects + 1] and [N, scenes + 1]; the last is "none of them"."""

    def __init__(self, objects: int, scenes: int = len(SCENES)) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 5, 2, 2, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
        stages = zip((WIDTHS[0], *WIDTHS[:-1]), WIDTHS, strict=True)
        self.stages = nn.Sequential(*(block for narrow, wide in stages for block in (Block(narrow, wide), Block(wide))))
        self.objects = nn.Linear(WIDTHS[-1], objects + 1)
        self.scenes = nn.Linear(WIDTHS[-1], scenes + 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        features = self.stages(self.stem(pictures)).mean((2, 3))
        return self.objects(features), self.scenes(features)


class Block(nn.Module):
    """Two convolutions beside a shortcut; half the side where the width changes."""

    def __init__(self, narrow: int, wide: int | None = None) -> None:
        super().__init__()
        stride, wide = (1, narrow) if wide is None else (2, wide)
        self.body = nn.Sequential(
            nn.Conv2d(narrow, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
            nn.Conv2d(wide, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2:
            self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(narrow, wide, 1, bias=False), nn.BatchNorm2d(wide))

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.body(features) + self.shortcut(features))


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one picture: the objects from the most to the least likely, the first's probability, the scene, if any."""

    objects: tuple[int, ...]
    probability: float
    scene: str | None

    def shows(self, emoji: int, among: int = 1) -> bool:
        """Whether it is one of the ``among`` likeliest objects."""
        return emoji in self.objects[:among]


class School:
    """Pictures to learn from, with what they show: ``objects`` [N, 2] holds the number of objects where there is none."""

    def __init__(self, emoji: Emoji, device: str, vae: AutoencoderKL | None = None, seed: int = 0) -> None:
        self.count, self.vae, self.device = len(emoji.names), vae, device
        composer = Composer(emoji.names, emoji.kinds, emoji.trained, seed)
        singles = round(LAYOUTS * (1 - PAIRS))
        made = [composer.single(composer.random.randrange(self.count)) for _ in range(singles)]
        while len(made) < LAYOUTS:
            composition = composer.compose()
            made += [composition] if len(composition.things) == 2 and not composition.style else []
        self._layouts = pack(made).to(device)
        self._layouts.look.copy_(torch.eye(3, device=device))
        self.renderer = Renderer(emoji.pictures, SIDE, device, seed)

    @torch.no_grad()
    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures, their objects [N, 2] (twice the same where there is one) and scenes [N]."""
        layouts = self._layouts[torch.randint(len(self._layouts), (count,), device=self.device)]
        others = torch.randint(self.count, (count, 2), device=self.device)
        shown = torch.where(layouts.emoji >= 0, others, -1)
        chance = torch.rand(count, device=self.device)
        shown[chance < BARE] = -1
        layouts.emoji.copy_(shown)
        pictures = self.renderer.draw(layouts)
        melted = (chance > 1 - MELTED) & (shown[:, 1] < 0)
        pictures = _warped(pictures, torch.where(melted, 0.35, 0.02))
        shown[melted] = -1
        objects = torch.where(shown[:, :1] < 0, self.count, torch.where(shown < 0, shown[:, :1], shown))
        return self._worn(pictures), objects, _scene_numbers(layouts)

    def _worn(self, pictures: Tensor) -> Tensor:
        """As a model would show them: some decoded, a little blurred, brighter or darker, with noise."""
        if self.vae is not None:
            chosen = slice(0, round(len(pictures) * DECODED))
            with torch.autocast(self.device, torch.bfloat16):
                decoded = self.vae.decode(self.vae.encode(pictures[chosen]).latent_dist.sample()).sample
            pictures = torch.cat([decoded.float().clamp(-1, 1), pictures[chosen.stop :]])
        draws = torch.rand(3, len(pictures), 1, 1, 1, device=pictures.device)
        blurred = F.avg_pool2d(F.pad(pictures, [1] * 4, mode="replicate"), 3, stride=1)
        pictures = torch.lerp(pictures, blurred, draws[0])
        pictures = pictures * (0.85 + 0.3 * draws[1]) + torch.randn_like(pictures) * 0.06 * draws[2]
        return pictures.clamp(-1, 1)


def _scene_numbers(layouts: Layout) -> Tensor:
    scenes = torch.div(layouts.backdrop, VARIANTS, rounding_mode="floor")
    return torch.where(layouts.colour[:, 0].isnan(), scenes, len(SCENES))


def _warped(pictures: Tensor, strength: Tensor) -> Tensor:
    """Pulled about by as much of the side as ``strength`` [N] says."""
    count, device = len(pictures), pictures.device
    rough = torch.randn(count, 2, 7, 7, device=device) * strength[:, None, None, None]
    pull = F.interpolate(rough, size=pictures.shape[-1], mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    still = F.affine_grid(torch.eye(2, 3, device=device).expand(count, 2, 3), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, still + pull, padding_mode="reflection", align_corners=False)


def train_judge(
    school: School, seconds: float, batch: int = 384, rate: float = 2e-3, say: Callable[[str], None] = print
) -> Judge:
    """A judge that was taught for ``seconds``, ready to be asked."""
    device = school.device
    judge = Judge(school.count).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=rate, weight_decay=0.05, fused=True)
    began, step, past = time.monotonic(), 0, 0.0
    while past < 1:
        past = min(1.0, (time.monotonic() - began) / seconds)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100) * (1 - past) + 1e-6
        pictures, objects, scenes = school.draw(batch)
        with torch.autocast(device, torch.bfloat16):
            which, where = judge(pictures.to(memory_format=torch.channels_last))
        loss = sum(F.cross_entropy(which.float(), objects[:, i], label_smoothing=0.05) for i in (0, 1)) / 2
        loss = loss + 0.3 * F.cross_entropy(where.float(), scenes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 250 == 0:
            say(f"judge: step {step}, loss {float(loss):.3f}")
    return judge.eval().requires_grad_(False)


@torch.no_grad()
def accuracy(judge: Judge, school: School, batches: int = 8) -> tuple[float, float]:
    """Shares of pictures that it has not seen whose object (or one of two) and whose scene it tells."""
    right = torch.zeros(2, device=school.device)
    for _ in range(batches):
        pictures, objects, scenes = school.draw(256)
        which, where = judge(pictures)
        right[0] += (which.argmax(1)[:, None] == objects).any(1).float().mean() / batches
        right[1] += (where.argmax(1) == scenes).float().mean() / batches
    return float(right[0]), float(right[1])


@torch.no_grad()
def look(judge: Judge, images: Sequence[Image.Image], kept: int = 3) -> list[Verdict]:
    """What ``images`` show."""
    device = next(judge.parameters()).device
    pixels = np.stack([np.asarray(i.convert("RGB").resize((SIDE, SIDE)), np.float32) / 127.5 - 1 for i in images])
    which, where = judge(torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device))
    order, likely = which.argsort(1, descending=True)[:, :kept].tolist(), which.softmax(1).amax(1).tolist()
    scenes = [*SCENES, None]
    return [
        Verdict(tuple(objects), probability, scenes[scene])
        for objects, probability, scene in zip(order, likely, where.argmax(1).tolist(), strict=True)
    ]


def save_judge(judge: Judge, path: Path) -> None:
    """Its weights, in half precision."""
    save_file({name: value.half().contiguous() for name, value in judge.state_dict().items()}, path)


def load_judge(path: Path, device: str) -> Judge:
    """A judge that ``save_judge`` has written. Raises OSError."""
    weights = load_file(path)
    judge = Judge(len(weights["objects.bias"]) - 1, len(weights["scenes.bias"]) - 1)
    judge.load_state_dict({name: value.float() for name, value in weights.items()})
    return judge.to(device).eval().requires_grad_(False)
