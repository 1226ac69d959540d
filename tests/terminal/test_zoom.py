"""A picture looked at closely: it stays under the mouse, whatever its kind and shape, and becomes sharp."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from textual import events
from textual.app import App, ComposeResult
from textual.geometry import Offset, Size
from textual.widgets import Static

from dbtui.app import zoom
from dbtui.app.rendering import part_of
from dbtui.app.zoom import ZoomView
from dbtui.core.tty import Capabilities

HEADER = 5
QUARTERS = set("\u2598\u259d\u2596\u258c\u259e\u259b")


class Viewer(App[None]):
    """The view below and to the right of something else."""

    CSS = f"#above {{ height: {HEADER}; }} ZoomView {{ margin-left: 7; }}"

    def __init__(self, picture: Image.Image, pictures: str = "blocks") -> None:
        super().__init__()
        self.terminal = Capabilities(pictures=pictures)
        self._picture = picture

    def compose(self) -> ComposeResult:
        yield Static(id="above")
        yield ZoomView(self._picture)

    @property
    def view(self) -> ZoomView:
        return self.query_one(ZoomView)

    @property
    def text(self) -> str:
        return "\n".join(strip.text for strip in self.screen._compositor.render_strips()[HEADER:])


def look(picture: Image.Image, script: Callable[[Viewer, Any], Any], pictures: str = "blocks") -> None:
    async def session() -> None:
        app = Viewer(picture, pictures)
        async with app.run_test(size=(80, 30)) as pilot:
            app.view.focus()
            await pilot.pause()
            await script(app, pilot)

    asyncio.run(session())


async def until(pilot: Any, condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await pilot.pause(0.02)


def under(view: ZoomView, x: int, y: int) -> tuple[float, float]:
    """The pixel of the picture that is shown at a place of the view."""
    left, top = view.image.origin_position
    width, height = view.image.zoomed_size
    return (left + x) * view.image.size[0] / width, (top + 2 * y) * view.image.size[1] / height


def test_what_is_under_the_mouse_stays_there(photo: Any) -> None:
    async def script(app: Viewer, pilot: Any) -> None:
        place = Offset(50, 8)
        first, before = under(app.view, *place), app.view.image.zoomed_size
        for kind, count in (("scroll_up", 6), ("scroll_down", 3), ("scroll_up", 2)):
            for _ in range(count):
                app.view.post_message(_wheel(app.view, kind, place))
                await pilot.pause()
        assert app.view.image.zoomed_size != before
        x, y = under(app.view, *place)
        assert abs(x - first[0]) < 8 and abs(y - first[1]) < 8

    look(photo(1, (600, 400)), script)


def _wheel(view: ZoomView, kind: str, place: Offset) -> Any:
    event = events.MouseScrollUp if kind == "scroll_up" else events.MouseScrollDown
    x, y = place
    return event(view, x, y, 0, 0, 0, False, False, False, x + view.region.x, y + view.region.y)


def test_keys_zoom_move_and_show_the_whole_again(photo: Any) -> None:
    async def script(app: Viewer, pilot: Any) -> None:
        whole = app.view.image.zoomed_size
        await pilot.press("plus", "plus", "plus")
        assert app.view.image.zoomed_size > whole
        before = app.view.image.origin_position
        await pilot.press("right", "down")
        moved = app.view.image.origin_position
        assert moved[0] > before[0] and moved[1] > before[1]
        await pilot.press("minus")
        assert app.view.image.zoomed_size > whole
        await pilot.press("0")
        assert app.view.image.zoomed_size == whole

    look(photo(2, (600, 400)), script)


def test_the_view_is_kept_while_one_is_elsewhere_and_fitted_to_the_window_otherwise(photo: Any) -> None:
    async def script(app: Viewer, pilot: Any) -> None:
        await pilot.press("plus", "plus", "plus")
        before = app.view.image.zoomed_size, app.view.image.origin_position
        app.view.display = False
        await pilot.pause()
        app.view.display = True
        await pilot.pause()
        assert (app.view.image.zoomed_size, app.view.image.origin_position) == before
        app.view.focus()
        await pilot.press("0")
        whole = app.view.image.zoomed_size
        await pilot.resize_terminal(40, 15)
        await pilot.pause()
        assert app.view.image.zoomed_size < whole
        await pilot.resize_terminal(80, 30)
        await pilot.pause()
        assert app.view.image.zoomed_size == whole

    look(photo(3, (600, 400)), script)


@pytest.mark.parametrize(
    "picture",
    [Image.new("LA", (300, 200), (200, 255)), Image.new("CMYK", (300, 200)), Image.new("P", (300, 200), 1),
     Image.new("RGB", (2000, 10), "white"), Image.new("RGB", (10, 2000), "white"), Image.new("RGB", (1, 1), "white"),
     Image.new("RGBA", (9000, 3), "white")],
    ids=lambda image: f"{image.mode}-{image.width}x{image.height}",
)  # fmt: skip
def test_every_kind_and_shape_can_be_looked_at(picture: Image.Image) -> None:
    async def script(app: Viewer, pilot: Any) -> None:
        for key in ("minus", "minus", "plus", "plus", "plus", "right", "up", "0"):
            await pilot.press(key)
        assert "\u2580" in app.text or "\u2584" in app.text

    look(picture, script, "half")


def test_another_picture_takes_the_place_of_the_first(photo: Any) -> None:
    async def script(app: Viewer, pilot: Any) -> None:
        await pilot.press("plus", "plus")
        app.view.show_picture(Image.new("RGB", (200, 300), (1, 2, 3)))
        await pilot.pause()

        def colours() -> set[Any]:
            strips = app.screen._compositor.render_strips()[HEADER:]
            return {s.style.color.triplet for strip in strips for s in strip if "\u2580" in s.text}

        assert colours() == {(1, 2, 3)}
        assert app.view.image.size == (200, 300)
        assert app.view.image.zoomed_size[1] <= 2 * (30 - HEADER)

    look(photo(4, (600, 400)), script)


def test_what_is_in_view_becomes_sharp_when_it_rests(photo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(app: Viewer, pilot: Any) -> None:
        monkeypatch.setattr(zoom, "REST", 3600)
        await pilot.press("plus", "plus")
        assert not QUARTERS & set(app.text)
        monkeypatch.setattr(zoom, "REST", 0.01)
        await pilot.press("left")
        await until(pilot, lambda: QUARTERS & set(app.text))
        monkeypatch.setattr(zoom, "REST", 3600)
        await pilot.press("right")
        assert not QUARTERS & set(app.text), "it is drawn roughly as long as it moves"

    look(photo(5, (600, 400)), script)


def test_what_is_sharp_is_what_was_in_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of four colours, of which the view shows the corner where they meet."""
    picture = Image.new("RGB", (400, 400), "red")
    picture.paste("blue", (200, 0, 400, 200))
    picture.paste("lime", (0, 200, 200, 400))
    picture.paste("white", (200, 200, 400, 400))

    async def script(app: Viewer, pilot: Any) -> None:
        monkeypatch.setattr(zoom, "REST", 3600)
        await pilot.press("plus", "plus", "right", "right", "down")

        def grid() -> list[list[Any]]:
            cells = []
            for strip in app.screen._compositor.render_strips()[HEADER:]:
                cells.append([segment.style and segment.style.bgcolor for segment in strip for _ in segment.text][7:])
            return cells

        await pilot.pause()
        rough = grid()
        app.view._sharpen()
        await until(pilot, lambda: app.view._shown.lines)
        await pilot.pause()
        sharp = grid()
        known = [(a.triplet, b.triplet) for x, y in zip(rough, sharp, strict=True) for a, b in zip(x, y, strict=True)
                 if a and b and a.triplet in {(255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 255)}]  # fmt: skip
        same = sum(max(abs(p - q) for p, q in zip(a, b, strict=True)) < 60 for a, b in known)
        assert len(known) > 500 and same > 0.93 * len(known)

    look(picture, script)


def test_beyond_the_picture_there_is_black() -> None:
    picture = Image.new("RGB", (50, 40), "red")
    seen = part_of(picture, (-50, -40, 100, 80), Size(300, 240))
    places = {(x, y): seen.getpixel((x, y)) for x in (50, 150, 250) for y in (40, 120, 200)}
    assert {place for place, colour in places.items() if colour == (255, 0, 0)} == {(150, 120)}
    assert {colour for place, colour in places.items() if place != (150, 120)} == {(0, 0, 0)}
    assert part_of(picture, (60, 0, 90, 40), Size(30, 40)).getbbox() is None


def test_looking_for_long_does_not_fill_the_memory(photo: Any) -> None:
    async def script(app: Viewer, pilot: Any) -> None:
        for _ in range(3):
            for key in ("plus", "plus", "plus", "minus", "minus", "right", "left"):
                await pilot.press(key)
        kept = sum(map(len, app.view.image.segment_cache.values()))
        assert kept < 2 * app.view.size.area

    look(photo(6, (800, 600)), script)
