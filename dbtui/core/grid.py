"""Grids of pictures: as one PNG, as text blocks for a terminal, and what a picture says of itself."""

from __future__ import annotations

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

    def parameters(self) -> str:
        """The text that image tools keep under ``parameters`` in a PNG."""
        lines = [self.prompt]
        if self.negative:
            lines.append(f"Negative prompt: {self.negative}")
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
    image.save(data, "PNG", pnginfo=info)
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


def half_blocks(image: Image.Image, columns: int) -> str:
    """The picture in half blocks of 24-bit colour, ``columns`` cells wide: two pixels a cell."""
    rows = max(1, round(columns * image.height / image.width / 2))
    small = image.convert("RGB").resize((columns, rows * 2), Image.Resampling.BOX)
    pixels = small.tobytes()
    lines = []
    for row in range(rows):
        cells, last = [], None
        for column in range(columns):
            top = (2 * row * columns + column) * 3
            low = top + columns * 3
            colours = (*pixels[top : top + 3], *pixels[low : low + 3])
            if colours != last:
                cells.append("\x1b[38;2;{};{};{};48;2;{};{};{}m".format(*colours))
                last = colours
            cells.append("\u2580")
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)
