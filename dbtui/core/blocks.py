"""Pictures as coloured characters, for every terminal: each cell is split into halves or quarters of two colours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HALF = "\u2580"
QUARTERS = np.array(list(" \u2598\u259d\u2580\u2596\u258c\u259e\u259b"))
"""Characters by which quarters have the first colour: 1 upper left, 2 upper right, 4 lower left; the last never has."""

SPLITS = np.array([[split >> quarter & 1 for quarter in range(4)] for split in range(8)], np.float32)
"""[8, 4]: the eight ways to split four quarters in two, as 1 for the first colour and 0 for the second."""

Colours = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Cells:
    """``characters`` [rows, columns], ``front`` and ``back`` [rows, columns, RGB]."""

    characters: NDArray[np.str_]
    front: Colours
    back: Colours

    def runs(self) -> Iterator[list[tuple[str, tuple[int, ...], tuple[int, ...]]]]:
        """For each row, its text in pieces of one pair of colours."""
        both = np.concatenate([self.front, self.back], axis=2)
        depth = self.front.shape[2]
        changes = np.any(both[:, 1:] != both[:, :-1], axis=2)
        for row, changed in enumerate(changes):
            starts = [0, *(np.flatnonzero(changed) + 1).tolist()]
            ends = [*starts[1:], self.characters.shape[1]]
            text, colours = "".join(self.characters[row]), both[row, starts].tolist()
            yield [
                (text[a:b], tuple(c[:depth]), tuple(c[depth:])) for a, b, c in zip(starts, ends, colours, strict=True)
            ]


def fit(size: tuple[int, int], box: tuple[int, int], cell: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows that a picture of ``size`` pixels fills in a box of columns and rows, its proportions kept."""
    width, height = size[0] / cell[0], size[1] / cell[1]
    scale = min(box[0] / width, box[1] / height)
    return max(1, min(box[0], round(width * scale))), max(1, min(box[1], round(height * scale)))


def halves(image: Image.Image, columns: int, rows: int) -> Cells:
    """Two pixels a cell, one above the other."""
    pixels = _scaled(image, columns, rows * 2).reshape(rows, 2, columns, 3)
    return Cells(np.full((rows, columns), HALF), pixels[:, 0], pixels[:, 1])


def quarters(image: Image.Image, columns: int, rows: int) -> Cells:
    """Four pixels a cell, drawn in the two colours that come nearest to them.

    Of the eight splits, the one with the least squared error is that in which the squared sums of both
    parts, each over its number of pixels, add up to most.
    """
    pixels = _scaled(image, columns * 2, rows * 2).astype(np.float32)
    pixels = pixels.reshape(rows, 2, columns, 2, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 4, 3)
    first = np.einsum("sq,nqc->nsc", SPLITS, pixels)
    second = pixels.sum(1)[:, None] - first
    count = SPLITS.sum(1)
    of_first, of_second = np.maximum(count, 1)[:, None], (4 - count)[:, None]
    best = ((first**2 / of_first).sum(2) + (second**2 / of_second).sum(2)).argmax(1)
    at = np.arange(len(best)), best
    front, back = (first / of_first)[at], (second / of_second)[at]
    shape = rows, columns
    return Cells(
        QUARTERS[best].reshape(shape), *(np.rint(c).astype(np.uint8).reshape(*shape, 3) for c in (front, back))
    )


WAYS = {"half": halves, "blocks": quarters}
"""By the names of ``core.tty.PICTURES``."""


def _scaled(image: Image.Image, width: int, height: int) -> Colours:
    small = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(small)


def to_ansi(cells: Cells, colours: str) -> str:
    """The lines as a terminal takes them; ``colours`` as in ``core.tty.COLOUR_SYSTEMS``."""
    if colours != "truecolor":
        cells = Cells(cells.characters, _nearest(cells.front, colours), _nearest(cells.back, colours))
    code = {"truecolor": _rgb_code, "256": _indexed_code, "16": _named_code}[colours]
    lines = ("".join(f"\x1b[{code(f, 30)};{code(b, 40)}m{text}" for text, f, b in row) for row in cells.runs())
    return "".join(f"{line}\x1b[0m\n" for line in lines)


def _rgb_code(colour: tuple[int, ...], ground: int) -> str:
    return f"{ground + 8};2;{colour[0]};{colour[1]};{colour[2]}"


def _indexed_code(colour: tuple[int, ...], ground: int) -> str:
    return f"{ground + 8};5;{colour[0]}"


def _named_code(colour: tuple[int, ...], ground: int) -> str:
    return str(ground + colour[0] if colour[0] < 8 else ground + 52 + colour[0])


def _nearest(colours: Colours, system: str) -> Colours:
    """The numbers [..., 1] of the terminal's colours that come nearest to ``colours`` [..., RGB]."""
    levels = [0, 95, 135, 175, 215, 255]
    named = [[192 * (i >> bit & 1) for bit in range(3)] for i in range(8)]
    bright = [[255 * (i >> bit & 1) if i else 128 for bit in range(3)] for i in range(8)]
    cube = [[r, g, b] for r in levels for g in levels for b in levels]
    greys = [[8 + 10 * i] * 3 for i in range(24)]
    # A person chooses what the first sixteen look like, so they are used only where there are no others.
    palette, first = (named + bright, 0) if system == "16" else (cube + greys, 16)
    flat, inverse = np.unique(colours.reshape(-1, 3), axis=0, return_inverse=True)
    distances = ((flat[:, None].astype(np.int32) - np.array(palette, np.int32)) ** 2).sum(2)
    return (distances.argmin(1) + first).astype(np.uint8)[inverse].reshape(*colours.shape[:-1], 1)
