"""A picture as text that a terminal shows when it is printed: pixels where it can, coloured blocks elsewhere."""

from __future__ import annotations

from PIL import Image

from dbtui.core import blocks, kitty, sixel
from dbtui.core.tty import Capabilities

LARGEST_SCALE = 2
"""Pixels of the screen for one of the picture, where it is shown in pixels; a larger one is only coarser."""


def printout(image: Image.Image, terminal: Capabilities, box: tuple[int, int]) -> str:
    """``image`` in lines, as large as fits into ``box`` (columns, rows); ``""`` where pictures are off."""
    if terminal.pictures == "off":
        return ""
    image = image.convert("RGB")
    if terminal.pictures in blocks.WAYS:
        place = blocks.fit(image.size, box, terminal.cell)
        return blocks.to_ansi(blocks.WAYS[terminal.pictures](image, *place), terminal.colours)
    width, height = terminal.cell
    natural = (-(-image.width * LARGEST_SCALE // width), -(-image.height * LARGEST_SCALE // height))
    most = (min(box[0], natural[0], kitty.LARGEST), min(box[1], natural[1], kitty.LARGEST))
    columns, rows = blocks.fit(image.size, most, terminal.cell)
    if terminal.pictures == "sixel":
        return sixel.draw(image, (columns, rows), terminal.cell) + "\n"
    image.thumbnail((columns * width, rows * height), Image.Resampling.LANCZOS)
    number, tmux = kitty.new_number(), terminal.within == "tmux"
    red, green, blue = kitty.colour(number)
    lines = (f"\x1b[38;2;{red};{green};{blue}m{row}\x1b[0m\n" for row in kitty.placeholders(columns, rows))
    return kitty.send(image, number, (columns, rows), tmux, sparing=terminal.ssh) + "".join(lines)
