"""Grids of pictures as one PNG, and what a picture says of itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, PngImagePlugin

from dbtui.core.paths import write_atomic

GAP = 4
"""Pixels between the pictures of a grid."""

SCHEDULER_NAMES = {
    "dpm++2m-karras": "DPM++ 2M Karras",
    "unipc": "UniPC",
    "euler": "Euler",
    "euler-a": "Euler a",
    "ddim": "DDIM",
    "pndm": "PLMS",
}
"""Schedulers by the names that other image tools read."""

NEGATIVE = "Negative prompt: "
SETTINGS = re.compile(
    r"Steps: (?P<steps>\d+), Sampler: (?P<scheduler>[^,]+), CFG scale: (?P<guidance>[\d.e+-]+), "
    r"Seed: (?P<seed>\d+), Size: (?P<width>\d+)x(?P<height>\d+), Model: (?P<model>.*)"
)
"""The last line of a picture's parameters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a picture was made: enough to make it again."""

    prompt: str
    negative: str = ""
    steps: int
    guidance: float
    scheduler: str
    seed: int
    width: int
    height: int
    model: str

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """What ``parameters`` wrote. Raises ValueError for any other text."""
        lines = text.split("\n")
        match = SETTINGS.fullmatch(lines[-1])
        schedulers = {name: scheduler for scheduler, name in SCHEDULER_NAMES.items()}
        if match is None or match["scheduler"] not in schedulers:
            raise ValueError("not the parameters of a picture of this program")
        negative = next((place for place, line in enumerate(lines) if line.startswith(NEGATIVE)), len(lines) - 1)
        return cls(
            prompt="\n".join(lines[:negative]),
            negative="\n".join(lines[negative:-1]).removeprefix(NEGATIVE),
            steps=int(match["steps"]),
            guidance=float(match["guidance"]),
            scheduler=schedulers[match["scheduler"]],
            seed=int(match["seed"]),
            width=int(match["width"]),
            height=int(match["height"]),
            model=match["model"],
        )

    def parameters(self) -> str:
        """The text that image tools keep under ``parameters`` in a PNG."""
        lines = [self.prompt]
        if self.negative:
            lines.append(f"{NEGATIVE}{self.negative}")
        lines.append(
            f"Steps: {self.steps}, Sampler: {SCHEDULER_NAMES[self.scheduler]}, CFG scale: {self.guidance:g}, "
            f"Seed: {self.seed}, Size: {self.width}x{self.height}, Model: {self.model}"
        )
        return "\n".join(lines)


def save_png(image: Image.Image, path: Path, parameters: str = "") -> None:
    """Write a PNG, whole or not at all, with its recipe in a text chunk."""
    info = PngImagePlugin.PngInfo()
    if parameters:
        info.add_text("parameters", parameters)
    data = BytesIO()
    image.save(data, "PNG", pnginfo=info, compress_level=2)  # a training waits; more takes twice as long for a tenth
    write_atomic(path, data.getvalue())


def make_grid(images: Sequence[Image.Image], columns: int) -> Image.Image:
    """``images`` of one size, row by row, on white."""
    width, height = images[0].size
    rows = -(-len(images) // columns)
    grid = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP), "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        grid.paste(image, (column * (width + GAP), row * (height + GAP)))
    return grid


def shape_of(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Rows and columns of a grid of that width and height, of pictures of ``side`` pixels; 1 x 1 if it is not one."""
    columns, beyond = divmod(size[0] + GAP, side + GAP)
    rows, over = divmod(size[1] + GAP, side + GAP)
    return (rows, columns) if rows and columns and not over and not beyond else (1, 1)


def split_grid(grid: Image.Image, rows: int, columns: int) -> list[Image.Image]:
    """The pictures of a grid that ``make_grid`` made."""
    width, height = (grid.width + GAP) // columns, (grid.height + GAP) // rows
    return [
        grid.crop((column * width, row * height, (column + 1) * width - GAP, (row + 1) * height - GAP))
        for row in range(rows)
        for column in range(columns)
    ]


def best_columns(count: int, aspect: float, width: float, height: float) -> int:
    """In how many columns ``count`` pictures of ``aspect`` (width / height) are largest in a box."""
    return max(range(1, count + 1), key=lambda columns: min(width / columns / aspect, height / -(-count // columns)))
