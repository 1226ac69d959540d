"""A table of pictures as one PNG: a heading over each column, and words beside each row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

from dbtui.core.grid import GAP
from dbtui.core.lettering import Lettering

MARGIN = 12
"""Pixels around words."""

INK, PAPER, EMPTY = "#1f2430", "white", "#eff1f4"


def make_table(
    cells: Sequence[Sequence[Image.Image | None]], headings: Sequence[str], names: Sequence[str], note: str = ""
) -> Image.Image:
    """``cells`` [rows][columns], of which at least one is a picture; all are drawn at the size of the largest.

    ``headings`` are of the columns and ``names`` of the rows; ``note`` stands below them all.
    """
    side = max((max(cell.size) for row in cells for cell in row if cell), default=64)
    font = Lettering(max(11, side // 14))
    left = max(96, side * 2 // 3)
    tops = [_wrap(heading, font, side) for heading in headings]
    top = 2 * MARGIN + max(len(lines) for lines in tops) * font.height
    width, bottom = left + len(headings) * (side + GAP), top + len(names) * (side + GAP)
    notes = _wrap(note, font, width - 2 * MARGIN) if note else []
    table = Image.new("RGB", (width, bottom + (len(notes) * font.height + MARGIN if notes else 0)), PAPER)
    pencil = ImageDraw.Draw(table)
    for number, line in enumerate(notes):
        font.draw(pencil, (MARGIN, bottom + MARGIN // 2 + number * font.height), line, INK)
    for column, lines in enumerate(tops):
        x = left + column * (side + GAP)
        for number, line in enumerate(lines):
            place = x + (side - font.length(line)) / 2, top - MARGIN - (len(lines) - number) * font.height
            font.draw(pencil, place, line, INK)
    for row, name in enumerate(names):
        y = top + row * (side + GAP)
        most = max(1, (side - 2 * MARGIN) // font.height)
        lines = _wrap(name, font, left - 2 * MARGIN)
        lines = [*lines[: most - 1], f"{lines[most - 1]} \u2026"] if len(lines) > most else lines
        for number, line in enumerate(lines):
            font.draw(pencil, (MARGIN, y + side / 2 + (number - len(lines) / 2) * font.height), line, INK)
        for column, cell in enumerate(cells[row]):
            x = left + column * (side + GAP)
            if cell is None:
                pencil.rectangle((x, y, x + side - 1, y + side - 1), EMPTY)
            else:
                table.paste(cell if max(cell.size) == side else cell.resize((side, side)), (x, y))
    return table


def _wrap(text: str, font: Lettering, width: int) -> list[str]:
    """``text`` in lines no wider than ``width`` pixels; a word that is wider is broken."""
    lines = [""]
    for word in font.spelled(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if font.length(longer) <= width:
            lines[-1] = longer
            continue
        pieces = _break(word, font, width)
        lines = [*lines, *pieces] if lines[-1] else [*lines[:-1], *pieces]
    return lines


def _break(word: str, font: Lettering, width: int) -> list[str]:
    starts = [0]
    for end in range(1, len(word) + 1):
        if end - starts[-1] > 1 and font.length(word[starts[-1] : end]) > width:
            starts.append(end - 1)
    return [word[a:b] for a, b in pairwise([*starts, len(word)])]
