"""Pictures in the app: sent once, given back, never in the way, and nothing of the terminal's answers is typed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.app import App, ComposeResult

from dbtui.app.pictures import Picture
from dbtui.core import kitty
from dbtui.core.tty import Capabilities

SCRIPT = Path(__file__).with_name("picture_app.py")
KEYS = {"toast": "\x1bOP", "other": "\x1bOQ", "dialog": "\x1bOR", "close": "\x1bOS", "remove": "\x1b[15~", "leave": "\x1b[17~",
        "focus": "\x1b[18~", "missing": "\x1b[19~", "twice": "\x1b[20~", "clear": "\x1b[21~", "again": "\x1b[23~", "untoast": "\x1b[24~"}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path, photo: Any) -> list[str]:
    for seed in (1, 2):
        photo(seed, (400, 300)).save(tmp_path / f"{seed}.png")
    return [str(tmp_path / "1.png"), str(tmp_path / "2.png")]


@pytest.fixture
def open_app(terminal: Any, tells: dict[str, bytes], files: list[str]) -> Callable[..., Any]:
    """``with open_app("kitty", "auto", delay)``: the app in a terminal that answers as that one does."""

    def make(name: str, images: str = "auto", delay: float = 0.0, **environment: str) -> Any:
        return terminal([str(SCRIPT), images, *files], tells[name], delay, **environment)

    return make


def settle(screen: Any) -> bytes:
    """What has been written when it falls silent."""
    start = len(screen.written)
    screen.pump(0.1)
    screen.wait_until_quiet()
    return screen.written[start:]


def test_kittys_pixels_are_sent_once_whatever_happens_beside_them(open_app: Any) -> None:
    with open_app("kitty") as screen:
        screen.until(lambda: kitty.PLACEHOLDER.encode() in screen.written)
        settle(screen)
        assert len(screen.numbers("t")) == 1
        sent = len(screen.graphics)
        for what in ("toast", "dialog", "close", "focus", "focus"):
            screen.type(KEYS[what])
            settle(screen)
        before = len(screen.written)
        for column in range(2, 40, 3):
            screen.type(f"\x1b[<35;{column};12M")  # the mouse moves over it
        settle(screen)
        assert b"38;2" in screen.written[before:], "the border has been drawn in its other colour"
        assert len(screen.written) - before < 120_000
        assert len(screen.graphics) == sent
        for _ in range(2):
            screen.type(KEYS["again"])
            settle(screen)
        assert len(screen.numbers("t")) == 2, "the same picture is not sent again"
        screen.type(KEYS["leave"])
        screen.wait_for("VALUE '' kitty")


def test_memory_in_the_terminal_is_given_back(open_app: Any) -> None:
    with open_app("kitty") as screen:
        screen.until(lambda: screen.numbers("t"))
        settle(screen)
        for what in ("other", "twice"):
            screen.type(KEYS[what])
            settle(screen)
        screen.resize(100, 30)
        screen.process.send_signal(28)
        settle(screen)
        assert len(screen.numbers("t")) >= 3
        assert screen.numbers("t")[:-1] == screen.numbers("d")
        assert all("d=I" in keys for keys in screen.graphics if keys.startswith("a=d"))
        screen.type(KEYS["remove"])
        settle(screen)
        assert screen.numbers("t") == screen.numbers("d")


def test_a_picture_on_screen_is_given_back_when_the_app_is_left(open_app: Any) -> None:
    with open_app("kitty") as screen:
        screen.until(lambda: kitty.PLACEHOLDER.encode() in screen.written)
        settle(screen)
        screen.type(KEYS["leave"])
        screen.wait_for("VALUE")
        assert screen.numbers("t") == screen.numbers("d")


@pytest.mark.parametrize("name", ["kitty", "xterm", "plain", "mute"])
def test_no_answer_is_typed_into_the_input(name: str, open_app: Any) -> None:
    """From a terminal half a second away, and from one that says nothing."""
    with open_app(name, delay=0.5) as screen:
        screen.wait_for("\x1b[?1049h")
        settle(screen)
        screen.type("hello")
        settle(screen)
        screen.type(KEYS["leave"])
        screen.wait_for("VALUE 'hello'")


def test_blocks_are_in_all_colours_where_colorterm_was_lost_on_the_way(open_app: Any) -> None:
    with open_app("wezterm") as screen:  # which knows no placeholders
        screen.until(lambda: re.search(rb"48;2;\d+;\d+;\d+m[^\x1b]*\xe2\x96", screen.written))
        settle(screen)
        assert b"38;5" not in screen.written and not screen.graphics


def test_a_terminal_of_256_colours_gets_no_others(open_app: Any) -> None:
    with open_app("plain") as screen:
        screen.until(lambda: re.search(rb"48;5;\d+m[^\x1b]*\xe2\x96", screen.written))
        settle(screen)
        assert b"38;2;" not in screen.written.split(b"\x1b[c", 1)[1]


def test_through_tmux_every_sequence_is_wrapped(open_app: Any, fake_tmux: Any) -> None:
    environment = fake_tmux("xterm-kitty|kitty|256,RGB|10|20", "on")
    with open_app("tmux", **environment) as screen:
        screen.until(lambda: kitty.PLACEHOLDER.encode() in screen.written)
        settle(screen)
        assert screen.written.count(b"\x1b\x1b_G") == screen.written.count(b"\x1bPtmux;") == len(screen.graphics) > 1
        assert b"\x1b_G" not in screen.written.replace(b"\x1b\x1b_G", b"")


def test_sixel_is_drawn_over_blocks_and_only_where_nothing_is_in_the_way(open_app: Any) -> None:
    def drawn() -> int:
        return int(screen.written.count(b"\x1bP0;1;0q"))

    with open_app("xterm") as screen:
        screen.until(drawn)
        settle(screen)
        assert drawn() == 1
        assert re.search(rb"48;2;\d+;\d+;\d+m[^\x1b]*\xe2\x96", screen.written.split(b"\x1bP0;1;0q")[0]), "blocks below"
        at = re.search(rb"\x1b7\x1b\[(\d+);(\d+)H\x1bP0", screen.written)
        assert (int(at[1]), int(at[2])) == (8, 19), "in the middle of its place"
        for what in ("dialog", "other"):
            screen.type(KEYS[what])
            assert b"\x1bP0" not in settle(screen), "a dialog lies above"
        screen.type(KEYS["close"])
        assert b"\x1bP0" in settle(screen)
        screen.type(KEYS["toast"])
        settle(screen)
        before = drawn()
        screen.type(KEYS["clear"] + KEYS["again"])
        assert b"\xe2\x96" in settle(screen) and drawn() == before, "the picture is in blocks beside the toast"
        screen.type(KEYS["untoast"])
        screen.until(lambda: drawn() > before)
        settle(screen)
        assert drawn() == before + 1
        screen.type("typed")
        assert b"\x1bP0" not in settle(screen)


def test_without_colours_kittys_numbers_would_be_lost(open_app: Any) -> None:
    with open_app("kitty", NO_COLOR="1") as screen:
        screen.until(lambda: b"\xe2\x96" in screen.written)
        settle(screen)
        assert not screen.graphics and kitty.PLACEHOLDER.encode() not in screen.written


def test_a_file_that_is_gone_is_told_in_words(open_app: Any) -> None:
    with open_app("kitty") as screen:
        screen.until(lambda: screen.numbers("t"))
        settle(screen)
        screen.type(KEYS["missing"])
        screen.wait_for("There is no picture")
        assert screen.numbers("t") == screen.numbers("d")
        screen.type(KEYS["clear"] + KEYS["leave"])
        screen.wait_for("VALUE")


def show(source: Any, terminal: Capabilities, script: Any, size: tuple[int, int] = (40, 12)) -> None:
    """Run ``script(app, pilot)`` on an app that shows ``source``."""

    class Shown(App[None]):
        def compose(self) -> ComposeResult:
            yield Picture(source)

    async def session() -> None:
        app = Shown()
        app.terminal = terminal  # type: ignore[attr-defined]
        async with app.run_test(size=size) as pilot:
            await script(app, pilot)

    asyncio.run(session())


def lines(app: App[None]) -> list[str]:
    return [strip.text for strip in app.screen._compositor.render_strips()]


async def until(pilot: Any, condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await pilot.pause(0.02)


def test_off_says_how_large_the_picture_is() -> None:
    async def script(app: App[None], pilot: Any) -> None:
        await until(pilot, lambda: "640 x 480 pixels" in "\n".join(lines(app)))

    show(Image.new("RGB", (640, 480)), Capabilities(pictures="off"), script)


@pytest.mark.parametrize("way", ["half", "blocks", "kitty"])
@pytest.mark.parametrize(
    "image",
    [Image.new("LA", (50, 20)), Image.new("CMYK", (20, 50)), Image.new("1", (4000, 3)), Image.new("P", (1, 1)),
     Image.new("RGBA", (3, 4000)), Image.new("I;16", (9, 9))],
    ids=lambda image: image.mode,
)  # fmt: skip
def test_every_kind_and_shape_of_picture_is_shown_within_its_place(image: Image.Image, way: str) -> None:
    async def script(app: App[None], pilot: Any) -> None:
        picture = app.query_one(Picture)
        for size in ((40, 12), (3, 1), (90, 50)):
            await pilot.resize_terminal(*size)
            await until(
                pilot, lambda: picture._wanted and picture._wanted.box == picture.size and not picture._underway
            )
            assert picture._shown.lines and not picture._shown.words
            assert {strip.cell_length for strip in app.screen._compositor.render_strips()} == {size[0]}

    show(image, Capabilities(pictures=way), script)


def test_the_last_picture_asked_for_is_the_one_that_is_shown(photo: Any) -> None:
    async def script(app: App[None], pilot: Any) -> None:
        picture = app.query_one(Picture)
        for colour in ("red", "green", "white", "blue"):
            picture.image = Image.new("RGB", (400, 400), colour)

        def colours() -> set[Any]:
            return {
                segment.style.color.triplet
                for strip in app.screen._compositor.render_strips()
                for segment in strip
                if "\u2580" in segment.text
            }

        await until(pilot, lambda: colours() == {(0, 0, 255)})
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert colours() == {(0, 0, 255)}

    show(photo(1), Capabilities(pictures="half"), script)
