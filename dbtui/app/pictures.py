"""A picture in the app, as the terminal shows pictures: prepared in a thread, sent once, its memory given back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from PIL import Image
from rich.color import Color
from rich.segment import ControlType, Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets._toast import Toast

from dbtui.core import blocks, kitty, sixel
from dbtui.core.dataset import UnusableError, open_picture
from dbtui.core.errors import printable
from dbtui.core.tty import Capabilities

LayOut = Callable[[Image.Image, Size], Image.Image]

Part = tuple[float, float, float, float]
"""Left, top, right and bottom of what is in view, in pixels of the picture; it may reach beyond."""


@dataclass(frozen=True, eq=False, slots=True)
class Order:
    """What is to be drawn, for which place of columns and rows, and which part of it; None is the whole."""

    source: Path | Image.Image
    box: Size
    part: Part | None = None

    def same(self, other: Order | None) -> bool:
        if other is None or (self.box, self.part) != (other.box, other.part):
            return False
        paths = isinstance(self.source, Path) and isinstance(other.source, Path)
        return self.source == other.source if paths else self.source is other.source


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines that show a picture, or ``words`` in its place.

    For kitty, ``data`` is to be sent before, under ``number``; ``above`` is what draws in Sixel over the lines.
    """

    lines: list[Strip] = field(default_factory=list)
    words: str = ""
    data: str = ""
    number: int = 0
    above: str = ""


class Canvas(Widget):
    """Shows the last drawing that was ordered, once a thread has done it; until then the one before.

    Nothing is sent again by focus, hovering or what lies above it.
    """

    ALLOW_SELECT: ClassVar[bool] = False  # what is selected changes its colours, which are kitty's numbers

    class Drawn(Message):
        """The thread has done ``order``."""

        def __init__(self, order: Order, drawing: Drawing) -> None:
            super().__init__()
            self.order, self.drawing = order, drawing

    _wanted: Order | None = None
    _underway: Order | None = None
    _shown = Drawing()

    def lay_out(self, image: Image.Image, box: Size) -> Image.Image:
        """``image`` as it is to be shown in ``box`` (pixels of the terminal); called in a thread."""
        return image

    def order(self, order: Order | None) -> None:
        """Have this drawn, unless it is on its way; None shows nothing."""
        if order is not None and order.same(self._wanted):
            return
        self._wanted = order
        if order is None:
            self._show(Drawing())
        elif self._underway is None:
            self._begin(order)

    def on_unmount(self) -> None:
        self._show(Drawing())

    def on_canvas_drawn(self, message: Drawn) -> None:
        message.stop()
        self._underway = None
        if message.order is self._wanted:
            self._show(message.drawing)
        elif self._wanted is not None:
            self._begin(self._wanted)  # several may have been asked for meanwhile; the last counts

    def _begin(self, order: Order) -> None:
        self._underway, terminal = order, self._terminal

        def draw() -> None:
            self.post_message(self.Drawn(order, make_drawing(order, terminal, self.lay_out)))

        self.run_worker(draw, thread=True, group="pictures", exit_on_error=False, description="Drawing a picture.")

    def _show(self, drawing: Drawing) -> None:
        """Send the drawing's pixels, and take back those of the one before."""
        before, self._shown = self._shown, drawing
        freed = kitty.free(before.number, self._terminal.within == "tmux") if before.number else ""
        driver = self.app._driver  # whose writer keeps the order of what is sent
        if driver is not None and (freed or drawing.data):
            driver.write(drawing.data + freed)
        self.refresh()

    @property
    def _terminal(self) -> Capabilities:
        """What the terminal can show within the app; the number of a picture would not survive the loss of colours."""
        terminal: Capabilities = getattr(self.app, "terminal", None) or Capabilities()
        return replace(terminal, pictures="blocks") if terminal.pictures == "kitty" and self.app.no_color else terminal

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines, and after the last of them what draws above; only the lines where something is in the way."""
        strips = super().render_lines(crop)
        if not self._shown.above or crop.size != self.outer_size or not self.screen.is_active:
            return strips
        if any(toast.region.overlaps(self.region) for toast in self.screen.query(Toast)):
            return strips  # all is painted anew when it goes
        place = self.content_region
        columns, rows = self._shown.lines[0].cell_length, len(self._shown.lines)
        if columns > place.width or rows > place.height:  # the window has become smaller; the next is on its way
            return strips
        left, top = place.x + (place.width - columns) // 2, place.y + (place.height - rows) // 2
        draw = f"\x1b7\x1b[{top + 1};{left + 1}H{self._shown.above}\x1b8"
        control = Segment(draw, Style.null(), [(ControlType.CURSOR_FORWARD, 0)])
        return [*strips[:-1], Strip([*strips[-1], control], strips[-1].cell_length)]

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        lines = self._shown.lines
        if not lines and not self._shown.words:
            return super().render_line(y)
        style = Style(color=self.rich_style.color, bgcolor=self.background_colors[1].rich_color)
        if self._shown.words:
            text = Text(self._shown.words, justify="center", overflow="ellipsis")
            lines = [Strip([Segment(line.plain, style)]) for line in text.wrap(self.app.console, max(1, width))]
        row = y - max(0, height - len(lines)) // 2
        if not 0 <= row < len(lines):
            return Strip.blank(width, style)
        left = max(0, width - lines[row].cell_length) // 2
        return Strip([Segment(" " * left, style), *lines[row]]).adjust_cell_length(width, style)


class Picture(Canvas):
    """Shows ``image`` or, without one, the file ``path``, as large as its place allows."""

    DEFAULT_CSS = "Picture { width: 1fr; height: 1fr; }"

    path: var[Path | None] = var(None)
    image: var[Image.Image | None] = var(None, always_update=True)

    def __init__(self, source: Path | Image.Image | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.set_reactive(Picture.path, source if isinstance(source, Path) else None)
        self.set_reactive(Picture.image, source if isinstance(source, Image.Image) else None)

    def watch_path(self) -> None:
        self._order_source()

    def watch_image(self) -> None:
        self._order_source()

    def on_resize(self) -> None:
        self._order_source()

    def _order_source(self) -> None:
        source = self.image or self.path
        self.order(Order(source, self.size) if source is not None and self.size.area else None)

    def render(self) -> str:
        return ""


def make_drawing(order: Order, terminal: Capabilities, lay_out: LayOut) -> Drawing:
    """Decode, lay out and scale a picture for the terminal. Never raises: what went wrong is said in its place."""
    cell_width, cell_height = terminal.cell
    box = Size(order.box.width * cell_width, order.box.height * cell_height)
    source, off = order.source, terminal.pictures == "off"
    try:
        image = source if isinstance(source, Image.Image) else open_picture(source, 0 if off else min(box))
        if off:
            return Drawing(words=f"{image.width} x {image.height} pixels")
        image = lay_out(image.convert("RGB"), box)
        if order.part is not None:
            image = part_of(image, order.part, box)
        most = (min(order.box.width, kitty.LARGEST), min(order.box.height, kitty.LARGEST))
        place = blocks.fit(image.size, most, terminal.cell)
        if terminal.pictures == "kitty":
            return _in_pixels(image, place, terminal)
        above = sixel.draw(image, place, terminal.cell) if terminal.pictures == "sixel" else ""
        cells = blocks.WAYS.get(terminal.pictures, blocks.quarters)(image, *place)
        return Drawing([_strip(row) for row in cells.runs()], above=above)
    except UnusableError as error:
        return Drawing(words=f"There is no picture: {printable(error)}.")
    except (OSError, ValueError, MemoryError) as error:
        return Drawing(words=f"The picture cannot be shown: {printable(error) or 'there is too little memory'}.")


def part_of(image: Image.Image, part: Part, size: Size) -> Image.Image:
    """``part`` of a picture, scaled to ``size``; black is what reaches beyond."""
    left, top, right, bottom = part
    across, down = size.width / (right - left), size.height / (bottom - top)
    box = (max(0.0, left), max(0.0, top), min(image.width, right), min(image.height, bottom))
    scaled = Size(round((box[2] - box[0]) * across), round((box[3] - box[1]) * down))
    whole = Image.new("RGB", size)
    if box[0] < box[2] and box[1] < box[3] and scaled.area:
        place = round((box[0] - left) * across), round((box[1] - top) * down)
        whole.paste(image.resize(scaled, Image.Resampling.LANCZOS, box=box), place)
    return whole


def _in_pixels(image: Image.Image, place: tuple[int, int], terminal: Capabilities) -> Drawing:
    """By kitty's graphics. Through SSH with fewer colours, which a thumbnail does not miss."""
    columns, rows = place
    number = kitty.new_number()
    small = image.copy()
    small.thumbnail((columns * terminal.cell[0], rows * terminal.cell[1]), Image.Resampling.LANCZOS)
    data = kitty.send(small, number, place, tmux=terminal.within == "tmux", sparing=terminal.ssh)
    style = Style(color=Color.from_rgb(*kitty.colour(number)))
    return Drawing(
        [Strip([Segment(text, style)], columns) for text in kitty.placeholders(columns, rows)], "", data, number
    )


def _strip(row: list[tuple[str, tuple[int, ...], tuple[int, ...]]]) -> Strip:
    return Strip([Segment(text, _style(front, back)) for text, front, back in row])


@lru_cache(1 << 15)
def _style(front: tuple[int, int, int], back: tuple[int, int, int]) -> Style:
    return Style(color=Color.from_rgb(*front), bgcolor=Color.from_rgb(*back))
