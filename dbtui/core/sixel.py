"""Pictures in Sixel: bands of six rows, in each of which every colour draws its pixels in turn."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

BAND = 6
BITS = (1 << np.arange(BAND, dtype=np.uint8))[:, None]
RUN = re.compile(rb"(.)\1{3,}")


def draw(image: Image.Image, place: tuple[int, int], cell: tuple[int, int]) -> str:
    """What draws ``image`` on a place of columns and rows whose cells have so many pixels, from the cursor on."""
    # Rows beyond the last multiple of six would be drawn below the place, and scroll the screen.
    height = max(BAND, place[1] * cell[1] // BAND * BAND)
    return encode(image.resize((place[0] * cell[0], height), Image.Resampling.LANCZOS))


def encode(image: Image.Image, colours: int = 256) -> str:
    """The escape sequence that draws ``image`` from the cursor on; its height should be a multiple of 6."""
    drawn = image.convert("RGB").quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = np.reshape(drawn.getpalette() or [], (-1, 3))
    numbers = np.asarray(drawn)
    # "P2=1" leaves the pixels alone that nothing is drawn on, such as those below the last row.
    parts = [f'\x1bP0;1;0q"1;1;{image.width};{image.height}'.encode()]
    for number in np.unique(numbers):
        red, green, blue = (round(value / 2.55) for value in palette[number].tolist())
        parts.append(b"#%d;2;%d;%d;%d" % (number, red, green, blue))
    bands = (numbers[top : top + BAND] for top in range(0, image.height, BAND))
    # No new line after the last: at the foot of the screen it would scroll.
    parts.append(b"-".join(b"$".join(_row(band, number) for number in np.unique(band)) for band in bands))
    return b"".join([*parts, b"\x1b\\"]).decode("ascii")


def _row(band: np.ndarray, number: int) -> bytes:
    """What one colour draws in a band: a character for each column, whose bits are the pixels from above."""
    bits = ((band == number) * BITS[: len(band)]).sum(0, dtype=np.uint8)
    characters = (bits + 63).tobytes().rstrip(b"?")
    return b"#%d" % number + RUN.sub(lambda run: b"!%d%b" % (len(run[0]), run[1]), characters)
