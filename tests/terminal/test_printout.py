"""A picture that is printed is the picture, in every way that terminals have."""

from __future__ import annotations

import itertools
import re
from base64 import standard_b64decode
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dbtui.core import blocks, kitty, sixel
from dbtui.core.printout import printout
from dbtui.core.tty import Capabilities

Photo = Callable[..., Image.Image]
FRONT, BACK = (200, 40, 10), (0, 90, 160)


@pytest.mark.parametrize("bits", list(itertools.product([0, 1], repeat=4)))
def test_quarters_show_two_colours_exactly(bits: tuple[int, ...]) -> None:
    image = Image.new("RGB", (2, 2))
    image.putdata([(BACK, FRONT)[bit] for bit in bits])
    cells = blocks.quarters(image, 1, 1)
    split = list(blocks.QUARTERS).index(cells.characters[0, 0])
    shown = [tuple((cells.front if split >> q & 1 else cells.back)[0, 0].tolist()) for q in range(4)]
    assert shown == [(BACK, FRONT)[bit] for bit in bits]


def test_halves_show_every_pixel(photo: Photo) -> None:
    image = photo(1, (30, 20))
    text = printout(image, Capabilities(pictures="half"), (30, 10))
    pixels = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m(\u2580+)", text)
    cells = [[int(n) for n in six] for *six, run in pixels for _ in run]
    assert np.array_equal(np.array(cells).reshape(10, 30, 2, 3).transpose(0, 2, 1, 3).reshape(20, 30, 3), image)
    assert text.count("\n") == 10 and text.endswith("\x1b[0m\n")


def test_quarters_come_nearer_to_a_photo_than_halves(photo: Photo) -> None:
    image = photo(2, (160, 160))

    def error(way: str) -> float:
        cells = blocks.WAYS[way](image, 20, 10)
        split = np.array([list(blocks.QUARTERS).index(c) for c in cells.characters.flat]).reshape(10, 20)
        parts = [np.where((split >> q & 1)[..., None], cells.front, cells.back) for q in range(4)]
        shown = np.stack(parts, 2).reshape(10, 20, 2, 2, 3).transpose(0, 2, 1, 3, 4).reshape(20, 40, 3)
        large = np.asarray(Image.fromarray(shown).resize((160, 160), Image.Resampling.NEAREST), float)
        return float(((large - np.asarray(image, float)) ** 2).mean())

    assert error("blocks") < 0.95 * error("half")


@pytest.mark.parametrize(
    ("colours", "red", "grey"), [("256", "48;5;196", "48;5;244"), ("16", "101", "100"), ("truecolor", "255;0;0m", "128;128;128m")]
)  # fmt: skip
def test_few_colours_are_the_nearest(colours: str, red: str, grey: str) -> None:
    for colour, code in (((255, 0, 0), red), ((128, 128, 128), grey)):
        text = printout(Image.new("RGB", (8, 8), colour), Capabilities(colours=colours, pictures="blocks"), (4, 2))
        assert code in text


def test_a_picture_keeps_its_proportions_and_stays_in_its_box() -> None:
    assert blocks.fit((512, 512), (80, 24), (10, 20)) == (48, 24)
    assert blocks.fit((512, 256), (80, 24), (10, 20)) == (80, 20)
    assert blocks.fit((512, 512), (80, 24), (9, 9)) == (24, 24)
    assert blocks.fit((3000, 1), (80, 24), (10, 20)) == (80, 1)


def decode_sixel(text: str, size: tuple[int, int]) -> Image.Image:
    """What a terminal draws; a picture that was never drawn on stays magenta."""
    canvas = np.full((size[1] + 6, size[0], 3), (255, 0, 255), np.uint8)
    palette: dict[int, list[int]] = {}
    colour, x, top = [0, 0, 0], 0, 0
    assert text.startswith("\x1bP") and text.rstrip("\n").endswith("\x1b\\")
    for number, values, count, character, end in re.findall(
        r"#(\d+)(?:;2;(\d+;\d+;\d+))?|(?:!(\d+))?([?-~])|([$-])", text[text.index('"') :].rstrip("\x1b\\\n")
    ):
        if values:
            palette[int(number)] = [round(int(v) * 2.55) for v in values.split(";")]
        elif number:
            colour = palette[int(number)]
        elif end:
            x, top = 0, top + 6 * (end == "-")
        else:
            length = int(count or 1)
            for bit in range(6):
                if ord(character) - 63 >> bit & 1:
                    canvas[top + bit, x : x + length] = colour
            x += length
    return Image.fromarray(canvas[: size[1]])


def test_sixel_draws_every_pixel_once(photo: Photo) -> None:
    image = photo(3, (90, 48))
    few = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB")
    drawn = decode_sixel(sixel.encode(image), image.size)
    assert np.abs(np.asarray(drawn, int) - np.asarray(few, int)).max() <= 3  # colours are told in per cent


def test_a_printed_sixel_picture_never_reaches_below_its_rows(photo: Photo) -> None:
    text = printout(photo(4), Capabilities(pictures="sixel", cell=(9, 19)), (40, 7))
    width, height = map(int, re.search(r'"1;1;(\d+);(\d+)', text).groups())
    assert height % 6 == 0 and height <= 7 * 19 and width <= 40 * 9
    assert text.count("-") == height // 6 - 1 and text.endswith("\x1b\\\n")


def unwrapped(text: str) -> str:
    """As tmux passes it on."""
    return re.sub(r"\x1bPtmux;((?:\x1b\x1b|[^\x1b])*)\x1b\\", lambda match: match[1].replace("\x1b\x1b", "\x1b"), text)


@pytest.mark.parametrize("within", ["", "tmux"])
def test_kitty_gets_the_picture_and_the_place_for_it(within: str, photo: Photo) -> None:
    image = photo(5, (200, 120))
    text = printout(image, Capabilities(pictures="kitty", within=within), (20, 20))
    if within:
        assert "\x1b_G" not in re.sub(r"\x1b\x1b_G", "", text), "tmux would eat what is not wrapped"
        text = unwrapped(text)
    sequences = re.findall(r"\x1b_G([^;\x1b]*)(?:;([^\x1b]*))?\x1b\\", text)
    assert all(len(data) <= 4096 and "q=2" in keys for keys, data in sequences)
    data = b"".join(standard_b64decode(data) for _, data in sequences)
    assert np.array_equal(Image.open(BytesIO(data)), image)
    assert ["m=1" in keys for keys, _ in sequences[:-1]] == [True] * (len(sequences) - 2) + [False]
    number = int(re.search(r"a=t,f=100,i=(\d+)", sequences[0][0])[1])
    assert sequences[-1][0] == f"a=p,U=1,i={number},c=20,r=6,q=2"
    places = re.findall(rf"\x1b\[38;2;(\d+);(\d+);(\d+)m((?:{kitty.PLACEHOLDER}..)+)\x1b\[0m\n", text)
    assert len(places) == 6
    for row, (red, green, blue, line) in enumerate(places):
        assert int(red) << 16 | int(green) << 8 | int(blue) == number
        marks = [(kitty.MARKS.index(line[i + 1]), kitty.MARKS.index(line[i + 2])) for i in range(0, len(line), 3)]
        assert marks == [(row, column) for column in range(20)]


def test_over_ssh_a_picture_takes_a_fraction_of_the_bytes(photo: Photo) -> None:
    image = Image.effect_noise((300, 300), 40).convert("RGB")
    image.paste(photo(6, (300, 200)))
    here, there = (len(printout(image, Capabilities(pictures="kitty", ssh=ssh), (40, 40))) for ssh in (False, True))
    assert there < here / 2


def test_off_prints_nothing(photo: Photo) -> None:
    assert printout(photo(7), Capabilities(pictures="off"), (40, 40)) == ""
