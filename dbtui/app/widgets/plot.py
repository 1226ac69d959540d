"""A chart as cells: curves over steps, axes, a cursor and a legend, as characters and what each belongs to.

Imports no Textual: what is painted can be read in a test.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dbtui.app.widgets import braille
from dbtui.app.widgets.braille import Numbers, Window

EMPTY, GRID, AXIS, RAW, LINE, CURSOR, BAD, TITLE = range(8)
"""What a cell belongs to."""

GUTTER = 7
"""Columns for the labels of the vertical axis."""

NARROWEST = 8.0
"""Steps that are left at the deepest zoom."""

NONE = np.empty(0)


class Plot:
    """``raw`` as dots and ``line`` as a line over ascending steps ``x``; which part of them, and where the cursor is."""

    def __init__(self, words: tuple[str, str], axis: bool, hint: str) -> None:
        """``words`` name the line's and the raw values in the legend; ``axis``: with labels below.

        ``hint`` stands there until there are values.
        """
        self._words, self._axis, self._hint = words, axis, hint
        self._x, self._raw, self._line = NONE, NONE, NONE
        self._end = 1.0
        self.logarithmic = False
        self.view: tuple[float, float] | None = None
        """The first and the last step that are shown; None for all."""
        self.cursor: float | None = None
        """The step that is read."""
        self.chars = np.zeros((0, 0), np.uint32)
        self.owners = np.zeros((0, 0), np.uint8)

    def set(self, x: Numbers, raw: Numbers, line: Numbers, end: float) -> None:
        """Values (``raw`` or ``line`` may be empty) over steps up to ``end``."""
        self._x, self._raw, self._line, self._end = x, raw, line, max(end, 1.0)

    def toggle_log(self) -> bool:
        """Change the scale; false if no value is above zero, which a logarithm needs."""
        self.logarithmic = not self.logarithmic and bool((np.concatenate((self._raw, self._line)) > 0).any())
        return self.logarithmic

    def zoom(self, factor: float, centre: float | None = None) -> None:
        """Show ``factor`` times as many steps, about ``centre``, else the cursor, else the newest step."""
        x0, x1 = self._span()
        if centre is None:
            centre = self.cursor if self.cursor is not None else min(x1, self._last())
        width = max((x1 - x0) * factor, NARROWEST)
        start = centre - (centre - x0) * width / (x1 - x0)
        self.view = None if width >= self._end else _within(start, width, self._end)

    def pan(self, share: float) -> None:
        """Move a zoomed view by ``share`` of its width."""
        if self.view is not None:
            x0, x1 = self.view
            self.view = _within(x0 + (x1 - x0) * share, x1 - x0, self._end)

    def whole(self) -> None:
        self.view = self.cursor = None

    def move_cursor(self, columns: int) -> None:
        """Read the chart ``columns`` further; the cursor starts at the newest step and takes the view with it."""
        if len(self._x) == 0:
            return
        x0, x1 = self._span()
        if self.cursor is None:
            self.cursor = min(self._last(), x1)
        else:
            self.cursor = self._nearest(self.cursor + columns * max(1.0, (x1 - x0) / self._intervals))
        if self.view is not None and not x0 <= self.cursor <= x1:
            self.view = _within(self.cursor - (x1 - x0) / 2, x1 - x0, self._end)

    def point_at(self, column: int) -> bool:
        """Put the cursor on the step nearest to a column of the chart, or take it away; whether that changed it."""
        before = self.cursor
        place = self.step_at(column)
        self.cursor = None if place is None or len(self._x) == 0 else self._nearest(place)
        return self.cursor != before

    def step_at(self, column: int) -> float | None:
        """The step that a column stands for; None left of the plot."""
        x0, x1 = self._span()
        return None if column < GUTTER else x0 + (x1 - x0) * (column - GUTTER) / self._intervals

    @property
    def _intervals(self) -> int:
        return max(1, self.chars.shape[1] - GUTTER - 1)

    def paint(self, width: int, height: int) -> None:
        """Fill ``chars`` (code points) and ``owners``, both height x width."""
        self.chars = np.full((height, width), ord(" "), np.uint32)
        self.owners = np.zeros((height, width), np.uint8)
        top, rows, columns = 1, height - 1 - self._axis, width - GUTTER
        if rows < 1 or columns < 2:
            return
        if len(self._x) == 0:
            self._write(height // 2, max(0, (width - len(self._hint)) // 2), self._hint, AXIS)
            return
        window = self._window()
        self._paint_grid(window, top, rows)
        box = slice(top, top + rows), slice(GUTTER, width)
        chars, owners = self.chars[box], self.owners[box]
        dots, raw = braille.visible(self._x, self._scaled(self._raw), window) if len(self._raw) else (NONE, NONE)
        if len(raw):
            _overlay(chars, owners, braille.scatter(dots, raw, window, rows, columns), RAW)
        x, line = braille.visible(self._x, self._scaled(self._line), window) if len(self._line) else (NONE, NONE)
        if len(line):
            _overlay(chars, owners, braille.line(x, line, window, rows, columns), LINE)
        self._mark(dots[raw > window.y1], window, 0, "\u2191", RAW)
        bad = self._x[~np.isfinite(self._raw if len(self._raw) else self._line)]
        self._mark(bad, window, rows - 1, "\u00d7", BAD)  # a gap alone could be overlooked
        self._paint_cursor(window, chars, owners)
        self._paint_legend()

    def _paint_grid(self, window: Window, top: int, rows: int) -> None:
        """Labels of both axes, and a faint line at each value of the vertical one."""
        width = self.chars.shape[1]
        span = window.y1 - window.y0
        values = (
            braille.log_ticks(window.y0, window.y1)
            if self.logarithmic
            else braille.ticks(window.y0, window.y1, max(2, rows // 3))
        )
        for value in values:
            y = top + min(rows - 1, int((window.y1 - value) / span * (rows - 1) + 0.5))
            self._write(y, 0, f"{short(10**value if self.logarithmic else value):>{GUTTER - 1}}", AXIS)
            self.chars[y, GUTTER:], self.owners[y, GUTTER:] = ord("\u2508"), GRID
        if not self._axis:
            return
        free = GUTTER
        for value in braille.ticks(window.x0, window.x1, max(2, (width - GUTTER) // 12)):
            label = f"{value:,.0f}"
            x = GUTTER + round((value - window.x0) / (window.x1 - window.x0) * (width - GUTTER - 1))
            x = min(max(x - len(label) // 2, GUTTER), width - len(label))
            if x >= free:
                self._write(top + rows, x, label, AXIS)
                free = x + len(label) + 2

    def _mark(self, places: Numbers, window: Window, row: int, mark: str, owner: int) -> None:
        """A mark in a row of the plot at each of the steps that are visible."""
        places = places[(places >= window.x0) & (places <= window.x1)]
        across = ((places - window.x0) / (window.x1 - window.x0) * self._intervals + 0.5).astype(int) + GUTTER
        self.chars[1 + row, across], self.owners[1 + row, across] = ord(mark), owner

    def _paint_cursor(self, window: Window, chars: NDArray[np.uint32], owners: NDArray[np.uint8]) -> None:
        if self.cursor is None or not window.x0 <= self.cursor <= window.x1:
            return
        x = int((self.cursor - window.x0) / (window.x1 - window.x0) * (chars.shape[1] - 1) + 0.5)
        free = owners[:, x] != LINE
        chars[free, x], owners[free, x] = ord("\u2502"), CURSOR
        owners[~free, x] = CURSOR

    def _paint_legend(self) -> None:
        """The newest values, or those under the cursor."""
        at = len(self._x) - 1 if self.cursor is None else int(np.searchsorted(self._x, self.cursor))
        at = min(at, len(self._x) - 1)
        x = GUTTER
        if self.cursor is not None:
            x = self._write(0, x, f"step {self._x[at]:,.0f}   ", CURSOR)
        for values, words, owner, mark in (
            (self._line, self._words[0], LINE, "\u2501 "),
            (self._raw, self._words[1], RAW, "\u2836 "),
        ):
            if len(values):
                x = self._write(0, x, mark, owner)
                x = self._write(0, x, f"{exact(values[at])} ", TITLE)
                x = self._write(0, x, f"{words}   ", AXIS)
        marks = [word for word, on in (("log", self.logarithmic), ("zoomed", self.view is not None)) if on]
        note = " \u00b7 ".join(marks)
        if note and x + len(note) <= self.chars.shape[1]:
            self._write(0, self.chars.shape[1] - len(note), note, CURSOR)

    def _write(self, y: int, x: int, text: str, owner: int) -> int:
        """Put ``text`` at a cell, cut at the right edge; returns the column after it."""
        text = text[: max(0, self.chars.shape[1] - x)]
        self.chars[y, x : x + len(text)] = [ord(c) for c in text]
        self.owners[y, x : x + len(text)] = owner
        return x + len(text)

    def _scaled(self, values: Numbers) -> Numbers:
        if not self.logarithmic:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(values > 0, np.log10(values), np.nan)

    def _span(self) -> tuple[float, float]:
        return self.view or (0.0, self._end)

    def _last(self) -> float:
        return float(self._x[-1]) if len(self._x) else self._end

    def _nearest(self, place: float) -> float:
        at = int(np.clip(np.searchsorted(self._x, place), 0, len(self._x) - 1))
        if at and place - self._x[at - 1] < self._x[at] - place:
            at -= 1
        return float(self._x[at])

    def _window(self) -> Window:
        """The visible steps, and a vertical range that holds the line and all but rare raw values."""
        x0, x1 = self._span()
        across = Window(x0, x1, 0, 1)
        parts = [braille.visible(self._x, self._scaled(v), across)[1] for v in (self._raw, self._line) if len(v)]
        shown = [part for part in parts if len(part)]
        if not shown:
            return across
        low, high = min(float(p.min()) for p in shown), max(float(p.max()) for p in shown)
        if self.logarithmic:
            return Window(x0, x1, math.floor(low * 4) / 4, max(math.ceil(high * 4) / 4, math.floor(low * 4) / 4 + 0.25))
        if len(self._raw) and len(shown[0]) >= 20:
            usual = max(float(np.percentile(shown[0], 98)), *(float(part.max()) for part in shown[1:]), 0.0)
            high = usual * 1.05 if high > usual * 1.25 else high
        if low >= 0:
            return Window(x0, x1, 0.0, braille.nice_ceiling(high))
        pad = max((high - low) * 0.05, 1e-9)
        return Window(x0, x1, low - pad, high + pad)


def _within(start: float, width: float, end: float) -> tuple[float, float]:
    start = min(max(start, 0.0), max(end - width, 0.0))
    return start, start + width


def _overlay(chars: NDArray[np.uint32], owners: NDArray[np.uint8], glyphs: NDArray[np.uint32], owner: int) -> None:
    """Put glyphs over what is there: a cell of the line is the line's alone, or it would look fat."""
    drawn = glyphs != braille.BLANK
    chars[drawn], owners[drawn] = glyphs[drawn], owner


def short(value: float) -> str:
    """A tick's label in at most six characters: ``0.05``, ``2e-6``, ``1.5k``."""
    if value == 0:
        return "0"
    if abs(value) >= 10_000:
        return f"{value / 1000:.4g}k"
    if abs(value) < 0.001:
        digits, exponent = f"{value:.1e}".split("e")
        return f"{digits.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.4g}"


def exact(value: float) -> str:
    """A value as it is read off: four digits."""
    if not math.isfinite(value):
        return "not a number"
    return f"{value:.4f}" if 0.001 <= abs(value) < 100 or value == 0 else f"{value:.3g}"
