"""What goes to the terminal: of each frame, only the cells that differ from what the terminal shows already.

Textual paints anew whatever a change of the layout has touched, which is often the whole window. Over SSH that is
what makes an app slow, so what comes out of it passes here first.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from rich.cells import cell_len, set_cell_size, split_graphemes
from rich.console import Console, RenderableType
from rich.control import Control
from rich.segment import ControlType, Segment
from rich.style import Style
from textual import events
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.app import App, ReturnType
from textual.geometry import Region, Size
from textual.screen import Screen
from textual.strip import Strip

from dbtui.core.tty import Capabilities

Cell = tuple[str, Style | None]
"""A character with all that is joined to it; the second cell of a wide one has none."""

REACH = 8
"""Equal cells between two that differ that are sent along: to pass over them would cost more."""

JOINTS = {"\u200d", "\ufe0f", *map(chr, range(0x1F3FB, 0x1F400))}
"""What makes of emoji another one: a joiner, the wish for a coloured picture, and the colours of skin."""

FLAGS = {chr(0x1F1E6 + place): chr(ord("A") + place) for place in range(26)}
"""Letters of which two make a flag, and what they stand for."""

Piece = tuple[int, int, Strip]
"""A row, a column, and what is written from there on."""


class Difference(CompositorUpdate):
    """What has to be written."""

    def __init__(self, pieces: list[Piece]) -> None:
        self._pieces = pieces

    def render_segments(self, console: Console) -> str:
        return "".join(f"{Control.move_to(x, y)}{strip.render(console)}" for y, x, strip in self._pieces)


class Shown:
    """What the terminal shows, as far as it was written from here."""

    def __init__(self, joins: bool = True) -> None:
        """``joins``: of the terminal, as in ``core.tty.Capabilities``."""
        self._joins = joins
        self._rows: list[list[Cell | None]] = []
        """None is a cell of which nothing is known."""

    def forget(self, size: Size) -> None:
        """Nothing is known any more: the terminal has another size, or others have written to it."""
        self._rows = [[None] * size.width for _ in range(size.height)]

    def difference(self, update: LayoutUpdate | ChopsUpdate) -> Difference | None:
        """What of ``update`` the terminal does not show yet, which it then does; None if it shows all."""
        pieces: list[Piece] = []
        for y, x, strip in _pieces(update):
            if y < len(self._rows):
                pieces += [(y, at, part) for at, part in self._take(self._rows[y], x, _cells(strip))]
            for segment in strip:
                if segment.control:
                    pieces.append((y, x, Strip([segment], 0)))
                    self._cover(segment)
        return Difference(pieces) if pieces else None

    def _take(self, row: list[Cell | None], x: int, cells: list[Cell]) -> Iterator[tuple[int, Strip]]:
        """Write ``cells`` into ``row`` from column ``x`` on; where that changes something, and what."""
        before = row[x : x + len(cells)]
        row[x : x + len(before)] = cells[: len(before)]
        start = end = -1
        for place, (old, new) in enumerate(zip(before, cells, strict=False)):
            if old != new:
                if start >= 0 and place - end > REACH:
                    yield x + start, self._strip(cells[start:end])
                    start = -1
                if start < 0:
                    start = place
                    while start and not cells[start][0]:  # the second half of a wide character
                        start -= 1
                end = place + 1
        if start >= 0:
            yield x + start, self._strip(cells[start:end])

    def _strip(self, cells: list[Cell]) -> Strip:
        """Cells of one style each as one segment."""
        segments: list[Segment] = []
        text, style = "", cells[0][1]
        for character, own in cells:
            if own is not style and own != style:
                segments.append(Segment(text, style))
                text, style = "", own
            text += character if self._joins or character.isascii() else _plain(character)
        return Strip([*segments, Segment(text, style)], len(cells))

    def is_known(self, region: Region) -> bool:
        """Whether any line within ``region`` was written after what draws above it."""
        rows = self._rows[region.y : region.bottom]
        return any(cell is not None for row in rows for cell in row[region.x : region.right])

    def _cover(self, segment: Segment) -> None:
        """Forget what lies below a picture that ``segment`` draws."""
        region = covered(segment)
        for row in self._rows[region.y : region.bottom]:
            row[region.x : region.right] = [None] * len(row[region.x : region.right])


class SparingApp(App[ReturnType]):
    """An app that sends only what the terminal does not show yet."""

    def __init__(self, terminal: Capabilities) -> None:
        super().__init__()
        self.terminal = terminal
        self._shown = Shown(terminal.joins)

    def on_mount(self) -> None:
        self.app_resume_signal.subscribe(self, lambda _: self.action_redraw())

    def on_resize(self, event: events.Resize) -> None:
        self._shown.forget(event.size)

    def action_redraw(self) -> None:
        """Send the whole window: others may have written to the terminal."""
        self._shown.forget(self.size)
        self.screen.refresh(layout=True)

    def shows_lines(self, region: Region) -> bool:
        """Whether the terminal shows lines in ``region``, be it in a part of it, and not a picture above them."""
        return self._shown.is_known(region)

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        sent = self._running and not self._closed and not self.is_headless and not self._batch_count
        if sent and self._driver is not None and isinstance(renderable, LayoutUpdate | ChopsUpdate):
            super()._display(screen, self._shown.difference(renderable))  # type: ignore[arg-type]
        else:
            super()._display(screen, renderable)


def drawing(text: str, region: Region) -> Segment:
    """A segment whose ``text`` draws over ``region`` of the window."""
    # Rich does not look at the numbers; that there are some keeps the text out of all measuring.
    x, y, width, height = region
    where = [(ControlType.CURSOR_MOVE_TO, x, y), (ControlType.CURSOR_MOVE_TO, width, height)]
    return Segment(text, Style.null(), where)


def covered(segment: Segment) -> Region:
    """Where a segment made by ``drawing`` draws."""
    assert segment.control is not None
    numbers = [int(number) for code in segment.control for number in code[1:]]
    return Region(*numbers)


def _pieces(update: LayoutUpdate | ChopsUpdate) -> Iterator[Piece]:
    """The strips of an update and where they go."""
    if isinstance(update, LayoutUpdate):
        for y, line in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in line:
                yield y, x, strip
                x += strip.cell_length
        return
    for y, first, last in update.spans:
        for end, (x, chop) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if chop is not None and x < last and end > first:
                yield y, x, chop if first <= x and end <= last else chop.crop(0, min(end, last) - x)


def _cells(strip: Strip) -> list[Cell]:
    """A strip cell by cell."""
    cells: list[Cell] = []
    for text, style, control in strip:
        if control:
            continue
        cells += [(character, style) for character in (text if text.isascii() else _characters(text))]
    return cells


@lru_cache(1 << 12)
def _characters(text: str) -> list[str]:
    """What stands in each cell of ``text``."""
    characters: list[str] = []
    for start, end, width in split_graphemes(text)[0]:
        characters += [text[start:end], *[""] * (width - 1)][:width]
    return characters


def _plain(character: str) -> str:
    """``character`` as one that all terminals show in as many cells as Textual counts."""
    if character[:1] in FLAGS:
        return FLAGS[character[0]]
    if len(character) > 1 and not JOINTS.isdisjoint(character):
        return set_cell_size(character[0], cell_len(character))
    return character
