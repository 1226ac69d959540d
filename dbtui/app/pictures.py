"""A picture in the app, as the terminal shows pictures: prepared in a thread, sent once, its memory given back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets._toast import Toast

from dbtui.app.wire import SparingApp, drawing
from dbtui.core import kitty
from dbtui.core.tty import Capabilities

if TYPE_CHECKING:
    from PIL import Image

LayOut = Callable[["Image.Image", Size], "Image.Image"]

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
    _beside_toast = False
    """Whether a toast was in the way when the lines were last rendered."""

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

    def draw_again(self) -> None:
        """Have the same drawn as the terminal shows pictures now."""
        if self._wanted is not None:
            order, self._wanted = replace(self._wanted), None
            self.order(order)

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
            from dbtui.app.rendering import make_drawing

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
        beside, self._beside_toast = self._beside_toast, self._is_beside_toast()
        if self._beside_toast:
            return strips
        if beside:
            self.call_after_refresh(self._mend)
        place = self._place
        if not self.content_region.contains_region(place):  # the window has become smaller; the next is on its way
            return strips
        draw = f"\x1b7\x1b[{place.y + 1};{place.x + 1}H{self._shown.above}\x1b8"
        control = drawing(draw, place)
        return [*strips[:-1], Strip([*strips[-1], control], strips[-1].cell_length)]

    @property
    def _place(self) -> Region:
        """Where the lines are in the window."""
        whole, columns, rows = self.content_region, self._shown.lines[0].cell_length, len(self._shown.lines)
        return Region(whole.x + (whole.width - columns) // 2, whole.y + (whole.height - rows) // 2, columns, rows)

    def _is_beside_toast(self) -> bool:
        return any(toast.region.overlaps(self.region) for toast in self.screen.query(Toast))

    def _mend(self) -> None:
        """Draw above the lines where a toast was, unless all has been painted anew since it went."""
        if isinstance(self.app, SparingApp) and self._shown.above and self.app.shows_lines(self._place):
            self.refresh()

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
        self.set_reactive(Picture.image, None if isinstance(source, Path) else source)

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
