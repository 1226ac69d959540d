"""The backdrops: twelve colours and sixteen drawn scenes, in smooth strokes that an autoencoder can keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

Picture = np.ndarray
"""[side, side, 3] of floats from 0 to 255."""

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "white": (245, 245, 245), "gray": (150, 150, 150), "black": (25, 25, 28), "red": (214, 48, 49),
    "orange": (243, 146, 55), "yellow": (250, 211, 80), "green": (86, 171, 91), "blue": (66, 133, 214),
    "purple": (134, 88, 188), "pink": (244, 160, 190), "brown": (140, 98, 66), "teal": (70, 170, 165),
}  # fmt: skip

LIGHTS: Mapping[str, tuple[float, float, float]] = {
    "": (1.0, 1.0, 1.0),
    "at night": (0.25, 0.3, 0.52),
    "at sunset": (1.05, 0.74, 0.6),
}
"""What an hour multiplies a scene's colours by."""


class Canvas:
    """Coordinates and smooth randomness for a square picture of ``side`` pixels; ``x`` and ``y`` run from 0 to 1."""

    def __init__(self, side: int, random: np.random.Generator) -> None:
        self.side, self.random = side, random
        axis = (np.arange(side) + 0.5) / side
        self.y, self.x = np.broadcast_arrays(axis[:, None, None], axis[None, :, None])
        self.horizon = 0.5 + 0.2 * random.random()

    def fill(self, top: tuple[int, int, int], bottom: tuple[int, int, int] | None = None, end: float = 1.0) -> Picture:
        """One colour, or a gradient from the top to the height ``end``."""
        first, last = np.array(top, float), np.array(bottom or top, float)
        return first + (last - first) * np.clip(self.y / end, 0, 1)

    def soft(self, distance: Picture) -> Picture:
        """1 where ``distance`` is positive, 0 where it is negative, with an edge of one and a half pixels."""
        return np.clip(distance * self.side / 1.5 + 0.5, 0, 1)

    def noise(self, cells: int, amplitude: float) -> Picture:
        """Clouds of ``cells`` a side, from -amplitude/2 to amplitude/2."""
        rough = Image.fromarray((self.random.random((cells, cells)) * 255).astype("uint8"))
        smooth = np.asarray(rough.resize((self.side, self.side), Image.Resampling.BICUBIC), float)
        return (smooth[..., None] / 255 - 0.5) * amplitude

    def discs(self, count: int, radius: float, lowest: float = 1.0) -> Picture:
        """Where ``count`` small discs above the height ``lowest`` are, 0 to 1, each as bright as it happens to be."""
        found = np.zeros((self.side, self.side, 1))
        for x, y, glow in self.random.random((count, 3)):
            around = np.hypot(self.x - x, self.y - y * lowest)
            found = np.maximum(found, self.soft(radius - around) * (0.5 + glow / 2))
        return found

    def wave(self, height: float, amplitude: float, frequency: float) -> Picture:
        """How far below a wavy line each pixel is."""
        return self.y - height - amplitude * np.sin(self.x * frequency + self.random.random() * 6)


def over(below: Picture, above: Picture | tuple[int, int, int], where: Picture) -> Picture:
    """``above`` laid on ``below`` as far as ``where`` (0 to 1) says."""
    return below + (np.asarray(above, float) - below) * where


def beach(c: Canvas) -> Picture:
    sky = c.fill((120, 190, 240), (210, 235, 250), c.horizon)
    sea = over(sky, (40, 140, 190), c.soft(c.y - c.horizon + 0.12))
    return over(sea, c.fill((238, 214, 160), (220, 190, 130)), c.soft(c.wave(c.horizon, 0.008, 7))) + c.noise(12, 8)


def snow(c: Canvas) -> Picture:
    sky = c.fill((180, 205, 230), (225, 235, 245), c.horizon)
    ground = over(sky, (246, 249, 253), c.soft(c.wave(c.horizon, 0.01, 5))) + c.noise(8, 6)
    return over(ground, (255, 255, 255), c.discs(36, 0.012))


def night(c: Canvas) -> Picture:
    sky = over(c.fill((10, 12, 40), (35, 30, 80)), (235, 235, 255), c.discs(34, 0.009, 0.8))
    return over(sky, (15, 18, 30), c.soft(c.y - 0.85))


def sunset(c: Canvas) -> Picture:
    sky = c.fill((90, 60, 130), (255, 150, 80), c.horizon)
    sun = c.soft(0.13 - np.hypot(c.x - c.random.random(), c.y - c.horizon))
    below = np.clip((c.y - c.horizon) / (1 - c.horizon), 0, 1)
    ground = np.array([120.0, 60, 70]) + np.array([-60.0, -25, -10]) * below
    return over(over(sky, (255, 220, 120), sun), ground, c.soft(c.y - c.horizon))


def grass(c: Canvas) -> Picture:
    sky = c.fill((130, 195, 245), (220, 240, 250), c.horizon)
    return over(sky, c.fill((120, 190, 80), (60, 140, 50)) + c.noise(20, 26), c.soft(c.y - c.horizon))


def table(c: Canvas) -> Picture:
    grain = 10 * np.sin(c.y * 64 + 3 * np.sin(c.x * 5 + c.random.random() * 6))
    return over(c.fill((225, 215, 200)), c.fill((165, 115, 70)) + grain + c.noise(6, 10), c.soft(c.y - 0.45))


def bricks(c: Canvas) -> Picture:
    rows = 10.5
    row = np.floor(c.y * rows).astype(int)
    along = c.x * rows / 2 + row % 2 / 2
    shade = c.random.uniform(-9, 9, (32, 32, 1))[row[..., 0] % 32, np.floor(along).astype(int)[..., 0] % 32]
    to_joint = np.minimum(
        np.minimum(c.y * rows % 1, -c.y * rows % 1) / rows, np.minimum(along % 1, -along % 1) * 2 / rows
    )
    return over(c.fill((172, 84, 66)) + shade + c.noise(8, 10), (205, 195, 185), c.soft(0.006 - to_joint))


def water(c: Canvas) -> Picture:
    return c.fill((60, 180, 210), (10, 60, 120)) + c.noise(8, 26)


def desert(c: Canvas) -> Picture:
    sky = c.fill((250, 200, 130), (255, 230, 180), c.horizon)
    dune = c.soft(c.wave(c.horizon, 0.05, 6))
    return over(sky, c.fill((225, 160, 90), (190, 120, 60)), dune) + c.noise(10, 6)


def city(c: Canvas) -> Picture:
    picture, left = c.fill((160, 200, 235), (230, 235, 240)), 0.0
    while left < 1:
        width, top = c.random.uniform(0.1, 0.2), c.random.uniform(0.2, 0.65)
        shade = c.random.integers(90, 170) + np.array([0, 5, 15])
        column, row = (c.x - left - 0.02) / 0.055, (c.y - top - 0.025) / 0.065
        lit = c.random.random((24, 8, 1)) < 0.5
        colours = np.where(lit, (240, 225, 150), shade - 28)[
            np.clip(row.astype(int), 0, 23)[..., 0], np.clip(column.astype(int), 0, 7)[..., 0]
        ]
        pane = (column % 1 < 0.55) & (row % 1 < 0.55) & (row > 0) & (column > 0) & (c.x < left + width - 0.025)
        inside = c.soft(c.y - top) * ((c.x >= left) & (c.x < left + width))
        picture, left = over(picture, np.where(pane, colours, shade), inside), left + width
    return picture


def forest(c: Canvas) -> Picture:
    picture = over(c.fill((150, 190, 130), (70, 120, 70)) + c.noise(10, 30), (70, 105, 50), c.soft(c.y - 0.78))
    for x in np.sort(c.random.random(7)):
        width = c.random.uniform(0.018, 0.04)
        trunk = c.soft(width - np.abs(c.x - x)) * c.soft(c.random.uniform(0.76, 0.88) - c.y)
        picture = over(picture, (96, 68, 44), trunk)
    return over(picture, (52, 110, 52), c.soft(0.16 + c.noise(9, 0.16) - c.y))


def mountains(c: Canvas) -> Picture:
    picture = c.fill((120, 180, 240), (225, 238, 250))
    for x in c.random.random(3):
        peak, slope = c.random.uniform(0.15, 0.4), c.random.uniform(0.8, 1.3)
        below = c.y - peak - slope * np.abs(c.x - x)
        picture = over(picture, (118, 124, 145), c.soft(below))
        picture = over(picture, (244, 247, 252), c.soft(below) * c.soft(peak + 0.12 - c.y + c.noise(10, 0.05)))
    return over(picture, (96, 150, 84), c.soft(c.wave(0.78, 0.02, 6)))


def moon(c: Canvas) -> Picture:
    picture = over(c.fill((6, 7, 14)), (240, 240, 250), c.discs(30, 0.009, c.horizon))
    earth = c.soft(0.09 - np.hypot(c.x - c.random.uniform(0.15, 0.85), c.y - 0.17))
    ground = c.fill((150, 150, 154), (112, 112, 116)) + c.noise(8, 8)
    for x, y, size in c.random.random((7, 3)):
        crater = 0.03 + 0.06 * size - np.hypot(c.x - x, (c.y - c.horizon - 0.06 - y * 0.4) * 2.4)
        ground = over(ground, (98, 98, 104), c.soft(crater))
    return over(over(picture, (70, 130, 215), earth), ground, c.soft(c.wave(c.horizon, 0.015, 5)))


def rain(c: Canvas) -> Picture:
    picture = c.fill((92, 104, 122), (150, 160, 172)) + c.noise(6, 14)
    picture = over(picture, c.fill((96, 104, 112), (70, 78, 90)), c.soft(c.y - c.horizon))
    for x, y, glow in c.random.random((46, 3)):
        aside = np.abs(c.x - x * 1.2 + 0.3 * (c.y - y))
        drop = c.soft(0.004 - aside) * c.soft(0.06 - np.abs(c.y - y))
        picture = over(picture, (205, 216, 230), drop * (0.4 + glow / 2))
    return picture


def kitchen(c: Canvas) -> Picture:
    tiles = 7
    to_joint = np.minimum(np.minimum(c.y * tiles % 1, -c.y * tiles % 1), np.minimum(c.x * tiles % 1, -c.x * tiles % 1))
    wall = over(c.fill((214, 232, 228)), (176, 200, 198), c.soft(0.008 - to_joint / tiles))
    counter = over(wall, (236, 232, 226), c.soft(c.y - 0.58))
    return over(counter, (122, 84, 60), c.soft(c.y - 0.68)) + c.noise(6, 6)


def road(c: Canvas) -> Picture:
    ground = over(c.fill((135, 195, 245), (225, 240, 250), c.horizon), (110, 170, 85), c.soft(c.y - c.horizon))
    depth = np.clip((c.y - c.horizon) / (1 - c.horizon), 1e-3, 1)
    aside = np.abs(c.x - 0.5)
    asphalt = over(ground, (92, 94, 100), c.soft((0.06 + 0.4 * depth) - aside) * c.soft(c.y - c.horizon))
    dash = c.soft(0.012 + 0.02 * depth - aside) * (np.sin(3.5 / (depth + 0.12) + c.random.random() * 6) > 0)
    return over(asphalt, (240, 236, 220), dash * c.soft(c.y - c.horizon)) + c.noise(6, 6)


SCENES: Mapping[str, Callable[[Canvas], Picture]] = {
    "on the beach": beach,
    "in the snow": snow,
    "at night": night,
    "at sunset": sunset,
    "on the grass": grass,
    "on a wooden table": table,
    "in front of a brick wall": bricks,
    "under water": water,
    "in the desert": desert,
    "in a city": city,
    "in a forest": forest,
    "in the mountains": mountains,
    "on the moon": moon,
    "in the rain": rain,
    "in a kitchen": kitchen,
    "on a road": road,
}

OUTDOORS = (
    "on the beach",
    "in the snow",
    "on the grass",
    "in the desert",
    "in a city",
    "in a forest",
    "in the mountains",
    "on a road",
)
"""Scenes that also have a night and a sunset."""

VARIANTS = 96
"""How many pictures of each scene there are."""


def draw_backdrops(side: int, seed: int, variants: int = VARIANTS) -> np.ndarray:
    """[scenes * variants, 3, side, side] of 8 bit; those of ``SCENES``' nth begin at n * variants."""
    pictures = []
    for i, draw in enumerate(SCENES.values()):
        for variant in range(variants):
            canvas = Canvas(side, np.random.default_rng([seed, i, variant]))
            pictures.append(np.clip(draw(canvas), 0, 255).astype("uint8").transpose(2, 0, 1))
    return np.stack(pictures)
