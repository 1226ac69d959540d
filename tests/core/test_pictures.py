"""One file of photos: every format, the right way up, on white, RGB; or a reason in words."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dbtui.core.dataset import UnusableError, examine, open_picture, square

Photo = Callable[..., Image.Image]
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def distance(first: tuple, second: tuple) -> int:
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "A.PNG", "no-ending", "lies.jpg"])
def test_a_lossless_picture_is_read_exactly(name: str, photos: Path, photo: Photo) -> None:
    form = {"a.bmp": "BMP", "a.tiff": "TIFF"}.get(name, "PNG")
    image = photo(1)
    image.save(photos / name, form)
    found = open_picture(photos / name)
    assert (found.mode, found.tobytes()) == ("RGB", image.tobytes())


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_a_lossy_picture_is_read(name: str, photos: Path) -> None:
    Image.new("RGB", (40, 30), RED).save(photos / name)
    found = open_picture(photos / name)
    assert (found.mode, found.size) == ("RGB", (40, 30))
    assert distance(found.getpixel((20, 15)), RED) < 8


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF", "PNG", "MPO"])
def test_of_several_frames_the_first_is_read(form: str, photos: Path) -> None:
    first, second = Image.new("RGB", (40, 30), RED), Image.new("RGB", (40, 30), BLUE)
    first.save(photos / "a", form, save_all=True, append_images=[second])
    with Image.open(photos / "a") as image:
        assert image.n_frames == 2
    assert distance(open_picture(photos / "a").getpixel((20, 15)), RED) < 8


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation,corner", [(1, (0, 0)), (2, (1, 0)), (3, (1, 1)), (4, (0, 1)),
                                                (5, (0, 0)), (6, (1, 0)), (7, (1, 1)), (8, (0, 1))])  # fmt: skip
def test_a_picture_is_turned_the_right_way_up(form: str, orientation: int, corner: tuple, photos: Path) -> None:
    stored = Image.new("RGB", (64, 32), WHITE)
    stored.paste(RED, (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(photos / "a", form, exif=exif)
    found = open_picture(photos / "a")
    assert found.size == ((64, 32) if orientation < 5 else (32, 64))
    at = [8 if c == 0 else length - 8 for c, length in zip(corner, found.size, strict=True)]
    assert distance(found.getpixel(tuple(at)), RED) < 60
    assert distance(found.getpixel((found.width // 2, found.height // 2)), WHITE) < 60


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_what_is_transparent_is_white_whatever_colour_hides_there(form: str, photos: Path) -> None:
    image = Image.new("RGBA", (40, 20), (*RED, 0))
    image.paste((*BLUE, 255), (0, 0, 10, 20))
    image.paste((0, 0, 0, 128), (10, 0, 20, 20))
    image.save(photos / "a", form, **({"lossless": True, "exact": True} if form == "WEBP" else {}))
    with Image.open(photos / "a") as kept:
        assert kept.getpixel((35, 10)) == (*RED, 0)
    found = open_picture(photos / "a")
    assert [found.getpixel((x, 10)) for x in (5, 35)] == [BLUE, WHITE]
    assert distance(found.getpixel((15, 10)), (127, 127, 127)) <= 1


def test_transparent_grey_is_white(photos: Path) -> None:
    image = Image.new("LA", (40, 20), (0, 0))
    image.paste((90, 255), (0, 0, 20, 20))
    image.save(photos / "a.png")
    found = open_picture(photos / "a.png")
    assert [found.getpixel((x, 10)) for x in (5, 35)] == [(90, 90, 90), WHITE]


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(form: str, photos: Path) -> None:
    image = Image.new("P", (40, 20), 1)
    image.putpalette([*RED, *BLUE])
    image.paste(0, (0, 0, 20, 20))
    image.save(photos / "a", form, transparency=1)
    found = open_picture(photos / "a")
    assert [found.getpixel((x, 10)) for x in (5, 35)] == [RED, WHITE]


def test_a_transparent_colour_is_white(photos: Path) -> None:
    image = Image.new("RGB", (40, 20), RED)
    image.paste(BLUE, (0, 0, 20, 20))
    image.save(photos / "a.png", transparency=RED)
    found = open_picture(photos / "a.png")
    assert [found.getpixel((x, 10)) for x in (5, 35)] == [BLUE, WHITE]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(form: str, photos: Path) -> None:
    row = struct.pack("<60H", *[0] * 20, *[32768] * 20, *[65535] * 20)
    Image.frombytes("I;16", (60, 20), row * 20).save(photos / "a", form)
    found = open_picture(photos / "a")
    assert [found.getpixel((x, 10))[0] for x in (10, 30, 50)] == [0, 128, 255]


def test_printers_colours_become_screen_colours(photos: Path) -> None:
    Image.new("CMYK", (40, 20), (0, 255, 255, 0)).save(photos / "a.jpg")
    assert distance(open_picture(photos / "a.jpg").getpixel((20, 10)), RED) < 8


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_few_colours_become_rgb(mode: str, photos: Path) -> None:
    Image.new("RGB", (40, 20), WHITE).convert(mode).save(photos / "a.png")
    found = open_picture(photos / "a.png")
    assert (found.mode, found.getpixel((20, 10))) == ("RGB", WHITE)


@pytest.mark.parametrize("content", [b"", b"hello", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0", b"P6 9 9 255 "])
def test_what_is_not_a_photo_is_refused_in_words(content: bytes, photos: Path) -> None:
    (photos / "a.jpg").write_bytes(content)
    with pytest.raises(UnusableError, match="not a picture of a known format" if content else "empty"):
        open_picture(photos / "a.jpg")


def test_a_picture_with_absurdly_many_pixels_is_refused_before_it_is_decoded(photos: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (photos / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    with pytest.raises(UnusableError, match="pixels"):
        open_picture(photos / "bomb.png")


def test_a_photo_of_200_megapixels_is_one(photos: Path) -> None:
    """As phones take them."""
    Image.new("L", (16_320, 12_240), 90).save(photos / "phone.jpg")
    picture = open_picture(photos / "phone.jpg", 512)
    assert min(picture.size) >= 512 and picture.getpixel((9, 9)) == (90, 90, 90)
    assert examine(photos / "phone.jpg").width == 16_320


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_damage_is_always_told_in_words_and_nowhere_else(form: str, photos: Path, photo: Photo) -> None:
    photo(1, (40, 30)).save(photos / "a", form)
    whole, draws, refused = (photos / "a").read_bytes(), random.Random(1), 0
    for attempt in range(60):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[draws.randrange(min(len(damaged), 200))] = draws.randrange(256)
        (photos / "b").write_bytes(damaged[: draws.randrange(len(damaged))] if attempt % 2 else damaged)
        try:
            assert open_picture(photos / "b").mode == "RGB"
        except UnusableError as error:
            refused += 1
            assert str(error) and "\x1b" not in str(error)
    assert refused > 10


def test_a_square_is_the_middle_the_start_or_the_end_of_the_longer_side() -> None:
    image = Image.new("RGB", (96, 32), WHITE)
    image.paste(RED, (0, 0, 32, 32))
    image.paste(BLUE, (64, 0, 96, 32))
    for picture in (image, image.transpose(Image.Transpose.TRANSPOSE)):
        middles = [square(picture, 16, position).getpixel((8, 8)) for position in (0, 0.5, 1)]
        assert middles == [RED, WHITE, BLUE]
        assert square(picture, 16).size == (16, 16)
