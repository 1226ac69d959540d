"""Compositions as tensors, ready to be drawn on any device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from dbtui.mini.recipe.compositions import Composition, Look
from dbtui.mini.recipe.scenes import COLOURS, LIGHTS, SCENES, VARIANTS

STYLES = ("", "black and white", "drawing")
THINGS = 2
"""At most this many in a picture."""

_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@dataclass(frozen=True, slots=True)
class Layout:
    """N compositions. Where an object is absent its emoji is -1; where a scene is drawn ``colour`` is NaN."""

    backdrop: Tensor
    """[N] which backdrop."""
    mirrored: Tensor
    """[N] bool."""
    colour: Tensor
    """[N, 3], 0 to 1."""
    tint: Tensor
    """[N, 3] factors of the backdrop's channels."""
    emoji: Tensor
    """[N, 2]"""
    place: Tensor
    """[N, 2, 5]: x, y, scale, angle, and the width's factor, which is negative for a mirrored object."""
    look: Tensor
    """[N, 2, 3, 3] matrices that recolour."""
    style: Tensor
    """[N] index into STYLES."""

    def to(self, device: torch.device | str) -> Layout:
        """The same on another device."""
        return Layout(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    def __getitem__(self, which: Tensor | slice) -> Layout:
        return Layout(*(getattr(self, f.name)[which] for f in fields(self)))

    def __len__(self) -> int:
        return len(self.backdrop)


def recolouring(look: Look) -> list[float]:
    """A matrix, row by row: turn the hue in YIQ, then multiply the channels."""
    cosine, sine = math.cos(look.hue), math.sin(look.hue)
    turn = torch.tensor([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    matrix = torch.diag(torch.tensor(look.tint)) @ torch.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ
    return matrix.flatten().tolist()


def pack(compositions: Sequence[Composition]) -> Layout:
    """The layout of ``compositions``, on the CPU."""
    starts = {scene: i * VARIANTS for i, scene in enumerate(SCENES)}
    matrices: dict[Look, list[float]] = {}
    backdrop, colour, tint, emoji, place, look = [], [], [], [], [], []
    nothing = [math.nan] * 3
    for c in compositions:
        backdrop.append(starts[c.scene] + c.variant if c.scene else 0)
        colour.append([v / 255 * s for v, s in zip(COLOURS[c.colour], c.shade, strict=True)] if c.colour else nothing)
        tint.append(LIGHTS[c.light])
        for i in range(THINGS):
            thing = c.things[i] if i < len(c.things) else None
            emoji.append(thing.emoji if thing else -1)
            worn = thing.look if thing else Look()
            if worn not in matrices:
                matrices[worn] = recolouring(worn)
            look.append(matrices[worn])
            width = worn.stretch * (-1 if thing and thing.flipped else 1)
            place.append([thing.x, thing.y, thing.scale, thing.angle, width] if thing else [0, 0, 1, 0, 1])
    count = len(compositions)
    return Layout(
        backdrop=torch.tensor(backdrop),
        mirrored=torch.tensor([c.mirrored for c in compositions]),
        colour=torch.tensor(colour),
        tint=torch.tensor(tint),
        emoji=torch.tensor(emoji).view(count, THINGS),
        place=torch.tensor(place, dtype=torch.float32).view(count, THINGS, 5),
        look=torch.tensor(look).view(count, THINGS, 3, 3),
        style=torch.tensor([STYLES.index(c.style) for c in compositions]),
    )
