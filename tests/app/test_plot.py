"""The chart's cells: exact at any density, and true about what is odd."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dbtui.app.widgets import braille
from dbtui.app.widgets.braille import BLANK, Window
from dbtui.app.widgets.plot import BAD, CURSOR, GUTTER, LINE, RAW, Plot

NONE = np.empty(0)


def plot_of(raw: np.ndarray, line: np.ndarray, end: float = 0.0) -> Plot:
    plot = Plot(("smoothed", "this step"), axis=True, hint="nothing yet")
    x = np.arange(1.0, max(len(raw), len(line)) + 1)
    plot.set(x, raw, line, end or x[-1])
    return plot


def lines(plot: Plot) -> list[str]:
    return ["".join(map(chr, row)) for row in plot.chars.tolist()]


def dots(glyphs: np.ndarray) -> np.ndarray:
    """The raster behind braille characters."""
    rows, columns = glyphs.shape
    bits = (glyphs[:, :, None, None] - BLANK) & braille.DOTS
    return (bits > 0).transpose(0, 2, 1, 3).reshape(rows * 4, columns * 2)


def test_a_line_reaches_every_columns_lowest_and_highest_value() -> None:
    draws = np.random.default_rng(0)
    x, y = np.arange(100_000.0), draws.normal(size=100_000)
    y[61_803] = 9.0
    window = Window(0, 99_999, float(y.min()), float(y.max()))
    raster = dots(braille.line(x, y, window, 10, 40))
    assert raster.shape == (40, 80)
    column = np.round(x / 99_999 * 79).astype(int)
    for place in range(80):
        height = (window.y1 - y[column == place]) / (window.y1 - window.y0) * 39
        lit = np.flatnonzero(raster[:, place])
        assert lit[0] <= round(height.min()) and lit[-1] >= round(height.max())
        assert len(lit) == lit[-1] - lit[0] + 1, "unbroken"
    assert raster[0].sum() == 1, "the one spike is there, and nothing else up there"


def test_a_line_through_few_points_is_unbroken() -> None:
    raster = dots(braille.line(np.array([0.0, 99.0]), np.array([0.0, 1.0]), Window(0, 99, 0, 1), 4, 20))
    assert raster.any(0).all()
    tops = raster.argmax(0)
    assert (np.diff(tops) <= 0).all() and tops[0] == 15 and tops[-1] == 0


def test_every_raw_value_is_a_dot() -> None:
    raster = dots(braille.scatter(np.array([0.0, 3.0]), np.array([0.0, 1.0]), Window(0, 3, 0, 1), 1, 2))
    assert raster.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_the_line_is_alone_in_its_cells() -> None:
    plot = plot_of(np.full(50, 0.5), np.full(50, 0.5))
    plot.paint(60, 12)
    assert not (plot.owners[1:-1] == RAW).any() and (plot.owners[1:-1] == LINE).any()


def test_what_is_not_a_number_is_a_gap_with_a_mark() -> None:
    raw = np.full(40, 0.5)
    raw[20] = math.nan
    plot = plot_of(raw, NONE)
    plot.paint(60, 12)
    assert (plot.owners == BAD).sum() == 1
    row, column = np.argwhere(plot.owners == BAD)[0]
    assert chr(plot.chars[row, column]) == "\u00d7"
    assert abs(plot.step_at(int(column)) - 21) < 1


def test_rare_high_values_do_not_flatten_the_rest_but_are_told() -> None:
    raw = np.full(200, 0.1)
    raw[150] = 90.0
    plot = plot_of(raw, np.full(200, 0.1))
    plot.paint(80, 14)
    assert "90" not in "".join(line[:GUTTER] for line in lines(plot))
    arrows = np.argwhere(plot.chars == ord("\u2191"))
    assert len(arrows) == 1 and abs(plot.step_at(int(arrows[0][1])) - 151) < 2


def test_a_logarithmic_scale_needs_a_value_above_zero() -> None:
    plot = plot_of(np.zeros(10), NONE)
    assert not plot.toggle_log() and not plot.logarithmic
    plot = plot_of(np.geomspace(1e-4, 1, 50), NONE)
    assert plot.toggle_log()
    plot.paint(60, 14)
    labels = [line[:GUTTER].strip() for line in lines(plot)]
    assert [label for label in labels if label] == ["1", "0.1", "0.01", "0.001", "1e-4"]
    assert not plot.toggle_log()


def test_a_zoomed_view_and_the_cursor_outlive_new_data() -> None:
    plot = plot_of(np.linspace(1, 0, 100), NONE)
    plot.paint(60, 12)
    plot.zoom(0.5)
    plot.move_cursor(-1)
    view, cursor = plot.view, plot.cursor
    assert view is not None and view[1] - view[0] == pytest.approx(50) and cursor == 100
    x = np.arange(1.0, 201)
    plot.set(x, np.linspace(1, 0, 200), NONE, 200)
    plot.paint(60, 12)
    assert plot.view == view and plot.cursor == cursor
    assert (plot.owners == CURSOR).any() and "step 100" in lines(plot)[0] and "zoomed" in lines(plot)[0]


def test_zooming_out_ends_at_the_whole() -> None:
    plot = plot_of(np.linspace(1, 0, 100), NONE)
    plot.paint(60, 12)
    for _ in range(9):
        plot.zoom(0.5, 50)
    assert plot.view is not None and plot.view[1] - plot.view[0] == 8
    for _ in range(9):
        plot.zoom(2)
    assert plot.view is None


def test_the_cursor_reads_what_is_under_it() -> None:
    plot = plot_of(np.linspace(0.1, 1.0, 10), NONE)
    plot.paint(60, 12)
    assert plot.point_at(GUTTER) and plot.cursor == 1
    plot.paint(60, 12)
    assert "step 1 " in lines(plot)[0] and "0.1000" in lines(plot)[0]
    assert plot.point_at(0) and plot.cursor is None


@pytest.mark.parametrize("size", [(1, 1), (8, 2), (9, 3), (20, 1), (300, 90)])
def test_any_size_can_be_painted(size: tuple[int, int]) -> None:
    for plot in (plot_of(np.linspace(1, 0, 30), np.linspace(1, 0, 30)), Plot(("", ""), True, "nothing yet")):
        plot.paint(*size)
        assert plot.chars.shape == size[::-1]


@pytest.mark.parametrize(("low", "high", "count"), [(0, 0.15, 4), (0, 1e-4, 2), (0, 200, 6), (37, 41, 3)])
def test_ticks_are_round_and_inside(low: float, high: float, count: int) -> None:
    values = braille.ticks(low, high, count)
    assert 1 <= len(values) <= count + 1
    assert all(low - 1e-9 <= value <= high * (1 + 1e-9) for value in values)
    steps = np.diff(values)
    assert len(steps) == 0 or np.allclose(steps, steps[0])
