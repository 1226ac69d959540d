"""A picture as text that a terminal shows when it is printed: pixels where it can, coloured blocks elsewhere."""

from __future__ import annotations

from PIL import Image

from dbtui.core import blocks, kitty, sixel
from dbtui.core.tty import Capabilities

LARGEST_SCALE = 2
"""Pixels of the screen for one of the picture, where it is shown in pixels; a larger one is only coarser."""


def printout_size(size: tuple[int, int], terminal: Capabilities, box: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows that a picture of ``size`` pixels takes in ``box`` (columns, rows)."""
    if terminal.pictures in blocks.WAYS:
        return blocks.fit(size, box, terminal.cell)
    natural = (-(-side * LARGEST_SCALE // cell) for side, cell in zip(size, terminal.cell, strict=True))
    width, height = (min(room, wanted, kitty.LARGEST) for room, wanted in zip(box, natural, strict=True))
    return blocks.fit(size, (width, height), terminal.cell)


def printout(image: Image.Image, terminal: Capabilities, box: tuple[int, int]) -> str:
    """``image`` in lines, as large as fits into ``box`` (columns, rows); ``""`` where pictures are off."""
    if terminal.pictures == "off":
        return ""
    image = image.convert("RGB")
    columns, rows = printout_size(image.size, terminal, box)
    if terminal.pictures in blocks.WAYS:
        return blocks.to_ansi(blocks.WAYS[terminal.pictures](image, columns, rows), terminal.colours)
    if terminal.pictures == "sixel":
        return sixel.draw(image, (columns, rows), terminal.cell) + "\n"
    width, height = terminal.cell
    image.thumbnail((columns * width, rows * height), Image.Resampling.LANCZOS)
    number, tmux = kitty.new_number(), terminal.within == "tmux"
    red, green, blue = kitty.colour(number)
    lines = (f"\x1b[38;2;{red};{green};{blue}m{row}\x1b[0m\n" for row in kitty.placeholders(columns, rows))
    return kitty.send(image, number, (columns, rows), tmux, sparing=terminal.ssh) + "".join(lines)
