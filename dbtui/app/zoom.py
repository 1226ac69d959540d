"""A picture to look at closely: wheel and keys zoom, dragging moves, and where it rests it becomes sharp."""

from __future__ import annotations

from typing import ClassVar

from PIL import Image
from textual import events
from textual.binding import BindingType
from textual.timer import Timer
from textual_imageview.img import ImageView  # type: ignore[import-untyped]
from textual_imageview.viewer import ImageViewer  # type: ignore[import-untyped]

from dbtui.app.keys import bindings
from dbtui.app.pictures import Canvas, Order

REST = 0.25
"""Seconds without a movement after which what is in view is drawn as well as the terminal can."""

LONGEST = 30
"""Times that a picture's longer side may be its shorter: beyond it, a level of zoom would have no pixels."""

MOST = 4096
"""Pixels of the longer side; a copy for each level of zoom is kept beside it."""

MOST_CELLS = 50_000
"""Characters of a level that are kept."""

STEP = 4
"""Columns that a key moves the view."""


class ZoomView(ImageViewer, Canvas, can_focus=True):
    """textual-imageview's viewer, which draws in half blocks, with what it lacks.

    Where a handler here stands for one of the viewer's, it forbids that: Textual calls those of all classes.
    """

    DEFAULT_CSS = "ZoomView { width: 1fr; height: 1fr; min-width: 1; min-height: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("zoom")]

    _whole = True
    """Whether all of the picture is to be seen, whatever the size of the window."""
    _rest: Timer | None = None

    def __init__(self, picture: Image.Image) -> None:
        self._picture = _usable(picture)
        super().__init__(self._picture)  # type: ignore[arg-type]

    def show_picture(self, picture: Image.Image) -> None:
        """Look at another picture, the whole of it."""
        self._picture = _usable(picture)
        self.image = ImageView(self._picture)
        self.image.set_container_size(*self.size)
        self.action_fit()

    def action_fit(self) -> None:
        """The whole picture in the middle."""
        self._whole = True
        if self.size.area:
            super().on_show()
        self._moved()

    def action_zoom(self, farther: int) -> None:
        self._zoom(farther)

    def action_pan(self, right: int, down: int) -> None:
        self._whole = False
        self.image.move(right * STEP, down * STEP)
        self._moved()

    def on_show(self, event: events.Show) -> None:  # type: ignore[override]
        event.prevent_default()  # the view stays as it was when one comes back to it

    def on_resize(self, event: events.Resize) -> None:
        event.prevent_default()
        if self.size.area:
            self.image.set_container_size(*self.size)
            self.action_fit() if self._whole else self._moved()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._zoom_at(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:  # type: ignore[override]
        self._zoom_at(event, -1)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        event.prevent_default()
        if self.mouse_down and (event.delta_x or event.delta_y):
            self._whole = False
            self.image.move(event.delta_x, event.delta_y * 2)
            self._moved()

    def _zoom_at(self, event: events.MouseEvent, farther: int) -> None:
        """What is under the mouse stays there."""
        event.stop()
        event.prevent_default()
        left, top = self.image.origin_position
        self._zoom(farther, (left + event.x, top + 2 * event.y))

    def _zoom(self, farther: int, place: tuple[int, int] | None = None) -> None:
        self._whole = False
        self.image.zoom(farther, place)
        self._moved()

    def _moved(self) -> None:
        """Show the new view at once, roughly; and well when it has rested."""
        for level, cells in self.image.segment_cache.items():
            if level != self.image._zoom or len(cells) > MOST_CELLS:
                cells.clear()
        self.order(None)
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(REST, self._sharpen)

    def _sharpen(self) -> None:
        if not self.size.area:
            return
        left, top = self.image.origin_position
        scale_x, scale_y = (new / old for new, old in zip(self.image.zoomed_size, self._picture.size, strict=True))
        right, bottom = left + self.size.width, top + 2 * self.size.height
        part = (left / scale_x, top / scale_y, right / scale_x, bottom / scale_y)
        self.order(Order(self._picture, self.size, part))


def _usable(picture: Image.Image) -> Image.Image:
    """As the viewer can take it: RGB, not too large, and not too narrow."""
    image = picture.convert("RGB")
    image.thumbnail((MOST, MOST))
    least = max(image.size) // LONGEST + 1
    return image.resize((max(image.width, least), max(image.height, least))) if min(image.size) < least else image
