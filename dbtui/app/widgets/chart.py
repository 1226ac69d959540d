"""A plot on the screen: it repaints only the cells that differ, and is read with the mouse or the keyboard.

Textual sends a changed line from the left edge of its widget on. So a chart is a row of narrow tiles: a
new point at its tip costs a tile's width, not the chart's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from dbtui.app.widgets.braille import Numbers
from dbtui.app.widgets.plot import Plot

STYLES = ("grid", "axis", "raw", "line", "cursor", "bad", "title")
"""Of a plot's cells, in the order of their owners, after the empty one."""


TILES = 8


class Tile(Widget):
    """A part of a chart's width."""

    def render_line(self, y: int) -> Strip:
        chart = self.parent
        assert isinstance(chart, Chart)
        return chart.strip(y).crop(self.left(chart), self.left(chart) + self.size.width)

    def left(self, chart: Chart) -> int:
        """Its first column in the chart."""
        return self.region.x - chart.content_region.x


class Chart(Widget):
    """Draws a Plot. The scale, the view and the cursor outlive new data."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"chart--{name}" for name in STYLES}

    class Refused(Message):
        """What was asked of the chart cannot be drawn."""

        def __init__(self, words: str) -> None:
            super().__init__()
            self.words = words

    def __init__(
        self, title: str, *, words: tuple[str, str] = ("", ""), axis: bool = True, hint: str = "", id: str
    ) -> None:
        """All but the title is as in Plot."""
        super().__init__(id=id)
        self.border_title = title
        self.plot = Plot(words, axis, hint)
        self._strips: dict[int, Strip] = {}

    def draw(self, x: Numbers, raw: Numbers, line: Numbers, end: float) -> None:
        """Show these values, as Plot.set takes them."""
        self.plot.set(x, raw, line, end)
        self._repaint()

    def toggle_log(self) -> None:
        before = self.plot.logarithmic
        if self.plot.toggle_log() == before:
            self.post_message(self.Refused("A logarithmic scale needs a value above zero."))
        self._repaint()

    def zoom(self, factor: float, centre: float | None = None) -> None:
        self.plot.zoom(factor, centre)
        self._repaint()

    def pan(self, share: float) -> None:
        self.plot.pan(share)
        self._repaint()

    def whole(self) -> None:
        self.plot.whole()
        self._repaint()

    def move_cursor(self, columns: int) -> None:
        self.plot.move_cursor(columns)
        self._repaint()

    def compose(self) -> ComposeResult:
        for _ in range(TILES):
            yield Tile()

    def on_resize(self) -> None:
        """Draw every tile anew: one that keeps its own size would keep what it showed of the other chart."""
        for tile in self.query_children(Tile):
            tile.refresh()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.plot.point_at(self._column(event)):
            self._repaint()

    def on_leave(self) -> None:
        inside = self.content_region.contains_point(self.app.mouse_position)
        if not inside and self.plot.point_at(-1):
            self._repaint()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.zoom(0.8, self.plot.step_at(self._column(event)))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.zoom(1.25, self.plot.step_at(self._column(event)))

    def _column(self, event: events.MouseEvent) -> int:
        return event.screen_x - self.content_region.x

    def strip(self, y: int) -> Strip:
        """A line of the whole chart."""
        if self.plot.chars.shape != (self.size.height, self.size.width):
            self._paint()
        if y not in self._strips:
            self._strips[y] = self._strip(y)
        return self._strips[y]

    def notify_style_update(self) -> None:
        self._strips.clear()
        super().notify_style_update()

    def _strip(self, y: int) -> Strip:
        styles = [self.rich_style, *(self.get_component_rich_style(f"chart--{name}") for name in STYLES)]
        owners = _spread(self.plot.owners[y], self.plot.chars[y] == ord(" "))
        text = "".join(map(chr, self.plot.chars[y].tolist()))
        cuts = [0, *(np.flatnonzero(owners[1:] != owners[:-1]) + 1).tolist(), len(text)]
        segments = [Segment(text[a:b], styles[owners[a]]) for a, b in itertools.pairwise(cuts) if a < b]
        return Strip(segments, len(text))

    def _paint(self) -> None:
        self._strips.clear()
        self.plot.paint(*self.size)

    def _repaint(self) -> None:
        """Paint, and refresh what differs: of a chart that grows by a point, that is a cell or two."""
        if not self.is_attached or self.size.area == 0:
            return
        chars, owners = self.plot.chars, self.plot.owners
        self._paint()
        if chars.shape != self.plot.chars.shape:
            self.refresh()
            return
        differs = (chars != self.plot.chars) | (owners != self.plot.owners)
        for tile in self.query_children(Tile):
            left = tile.left(self)
            regions = list(_rows(differs[:, left : left + tile.size.width]))
            if regions:
                tile.refresh(*regions)


def _spread(owners: NDArray[np.uint8], blank: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """``owners`` with blank cells given to their left neighbour: fewer changes of style to send."""
    return owners[np.maximum.accumulate(np.where(blank, 0, np.arange(len(owners))))]


def _rows(differs: NDArray[np.bool_]) -> Iterator[Region]:
    """For each row with a cell that differs, from its first to its last."""
    for y in np.flatnonzero(differs.any(1)).tolist():
        cells = np.flatnonzero(differs[y])
        yield Region(int(cells[0]), y, int(cells[-1] - cells[0]) + 1, 1)
