"""A raster of braille dots, two wide and four high to a cell, and how curves are put on it. Imports no Textual."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint32)
"""The bit of each dot in a braille character: https://www.unicode.org/charts/PDF/U2800.pdf"""

BLANK = 0x2800


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the plane that a chart shows."""

    x0: float
    x1: float
    y0: float
    y1: float


def visible(x: Numbers, y: Numbers, window: Window) -> tuple[Numbers, Numbers]:
    """The points of a curve in the window's columns; ``x`` ascends. What is not finite is left out."""
    start, end = np.searchsorted(x, window.x0, "left"), np.searchsorted(x, window.x1, "right")
    x, y = x[start:end], y[start:end]
    finite = np.isfinite(y)
    return (x, y) if finite.all() else (x[finite], y[finite])


def scatter(x: Numbers, y: Numbers, window: Window, rows: int, columns: int) -> NDArray[np.uint32]:
    """Every point as a dot: braille characters of ``rows`` x ``columns`` cells. Exact at any density."""
    dots = np.zeros((rows * 4, columns * 2), bool)
    dots[_down(y, window, rows * 4), _across(x, window, columns * 2)] = True
    return _pack(dots)


def line(x: Numbers, y: Numbers, window: Window, rows: int, columns: int) -> NDArray[np.uint32]:
    """The curve as one unbroken line: in each column of dots from its lowest to its highest value there."""
    height, width = rows * 4, columns * 2
    dots = np.zeros((height, width), bool)
    if len(x) == 0:
        return _pack(dots)
    column = _across(x, window, width)
    starts = np.flatnonzero(np.r_[True, column[1:] != column[:-1]])
    first, last = column[starts], np.r_[starts[1:], len(x)] - 1
    top = _down(np.maximum.reduceat(y, starts), window, height)
    low = _down(np.minimum.reduceat(y, starts), window, height)
    everywhere = np.arange(first[0], first[-1] + 1)
    if len(everywhere) > len(first):  # columns between two points lie on the straight line between them
        between = _down(np.interp(everywhere, first, y[last]), window, height)
        tops, lows = between.copy(), between
        tops[first - first[0]], lows[first - first[0]] = top, low
        top, low = tops, lows
    if len(everywhere) > 1:
        top[1:], low[1:] = np.minimum(top[1:], low[:-1] + 1), np.maximum(low[1:], top[:-1] - 1)
    row = np.arange(height)[:, None]
    dots[:, everywhere] = (row >= top) & (row <= low)
    return _pack(dots)


def _across(x: Numbers, window: Window, width: int) -> NDArray[np.intp]:
    share = (x - window.x0) / max(window.x1 - window.x0, 1e-12)
    return np.clip(share * (width - 1) + 0.5, 0, width - 1).astype(np.intp)


def _down(y: Numbers, window: Window, height: int) -> NDArray[np.intp]:
    share = (window.y1 - y) / max(window.y1 - window.y0, 1e-300)
    return np.clip(share * (height - 1) + 0.5, 0, height - 1).astype(np.intp)


def _pack(dots: NDArray[np.bool_]) -> NDArray[np.uint32]:
    height, width = dots.shape
    cells = dots.reshape(height // 4, 4, width // 2, 2).transpose(0, 2, 1, 3)
    packed: NDArray[np.uint32] = (cells * DOTS).sum((2, 3), dtype=np.uint32) + np.uint32(BLANK)
    return packed


def nice_step(span: float, count: int) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that cuts ``span`` into at most ``count`` parts."""
    if not (span > 0 and math.isfinite(span)):
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / max(count, 1)))
    return next(f * power for f in (1, 2, 2.5, 5, 10, 20) if span / (f * power) <= count + 1e-9)


def nice_ceiling(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 6, 8 times a power of ten: a top for an axis that seldom moves."""
    if not (value > 0 and math.isfinite(value)):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(f * power for f in (1, 1.5, 2, 3, 4, 6, 8, 10) if f * power >= value * (1 - 1e-9))


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round values from ``low`` to ``high``, at most about ``count`` of them."""
    step = nice_step(high - low, count)
    first = math.ceil(low / step - 1e-9)
    return [(first + i) * step for i in range(int((high - first * step) / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Exponents of ten from ``low`` to ``high`` (themselves logarithms), with 2 and 5 between if there are few."""
    whole = [float(e) for e in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
    if len(whole) >= 3:
        return whole
    finer = [e + math.log10(f) for e in range(math.floor(low), math.floor(high) + 1) for f in (1, 2, 5)]
    return [value for value in finer if low - 1e-9 <= value <= high + 1e-9]
