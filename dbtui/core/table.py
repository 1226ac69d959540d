"""A table of pictures as one PNG: a heading over each column, and words beside each row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from dbtui.core.grid import GAP

MARGIN = 12
"""Pixels around words."""

INK, PAPER, EMPTY = "#1f2430", "white", "#eff1f4"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def make_table(
    cells: Sequence[Sequence[Image.Image | None]], headings: Sequence[str], names: Sequence[str]
) -> Image.Image:
    """``cells`` [rows][columns], of which at least one is a picture; all are drawn at the size of the largest.

    ``headings`` are of the columns and ``names`` of the rows. Letters that Pillow's font lacks are boxes.
    """
    side = max((max(cell.size) for row in cells for cell in row if cell), default=64)
    font = ImageFont.load_default(max(11, side // 14))
    left = max(96, side * 2 // 3)
    tops = [_wrap(heading, font, side) for heading in headings]
    top = 2 * MARGIN + max(_height(lines, font) for lines in tops)
    size = (left + len(headings) * (side + GAP), top + len(names) * (side + GAP))
    table = Image.new("RGB", size, PAPER)
    pencil = ImageDraw.Draw(table)
    for column, lines in enumerate(tops):
        x = left + column * (side + GAP)
        pencil.multiline_text((x + side / 2, top - MARGIN), "\n".join(lines), INK, font, anchor="md", align="center")
    for row, name in enumerate(names):
        y = top + row * (side + GAP)
        most = max(1, (side - 2 * MARGIN) // _height(["Xg"], font))
        lines = _wrap(name, font, left - 2 * MARGIN)
        lines = [*lines[: most - 1], f"{lines[most - 1]} \u2026"] if len(lines) > most else lines
        pencil.multiline_text((MARGIN, y + side / 2), "\n".join(lines), INK, font, anchor="lm")
        for column, cell in enumerate(cells[row]):
            x = left + column * (side + GAP)
            if cell is None:
                pencil.rectangle((x, y, x + side - 1, y + side - 1), EMPTY)
            else:
                table.paste(cell if max(cell.size) == side else cell.resize((side, side)), (x, y))
    return table


def _wrap(text: str, font: Font, width: int) -> list[str]:
    """``text`` in lines no wider than ``width`` pixels; a word that is wider is broken."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        pieces = _break(word, font, width)
        lines = [*lines, *pieces] if lines[-1] else [*lines[:-1], *pieces]
    return lines


def _break(word: str, font: Font, width: int) -> list[str]:
    starts = [0]
    for end in range(1, len(word) + 1):
        if end - starts[-1] > 1 and font.getlength(word[starts[-1] : end]) > width:
            starts.append(end - 1)
    return [word[a:b] for a, b in pairwise([*starts, len(word)])]


def _height(lines: Sequence[str], font: Font) -> int:
    pencil = ImageDraw.Draw(Image.new("L", (1, 1)))
    return round(pencil.multiline_textbbox((0, 0), "\n".join(lines), font)[3]) + 4
