"""Kitty's graphics with placeholders: a picture is sent once under a number, and shown by characters of that colour.

The characters are moved, cut and covered as any others are; a character says by two marks above it
which row and column of the picture it stands for. Protocol: sw.kovidgoyal.net/kitty/graphics-protocol.
"""

from __future__ import annotations

import secrets
from base64 import standard_b64encode
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

PLACEHOLDER = "\U0010eeee"

SPANS = """
305 30D-30E 310 312 33D-33F 346 34A-34C 350-352 357 35B 363-36F 483-487 592-595 597-599 59C-5A1 5A8-5A9
5AB-5AC 5AF 5C4 610-617 657-65B 65D-65E 6D6-6DC 6DF-6E2 6E4 6E7-6E8 6EB-6EC 730 732-733 735-736 73A 73D
73F-741 743 745 747 749-74A 7EB-7F1 7F3 816-819 81B-823 825-827 829-82D 951 953-954 F82-F83 F86-F87
135D-135F 17DD 193A 1A17 1A75-1A7C 1B6B 1B6D-1B73 1CD0-1CD2 1CDA-1CDB 1CE0 1DC0-1DC1 1DC3-1DC9 1DCB-1DCC
1DD1-1DE6 1DFE 20D0-20D1 20D4-20D7 20DB-20DC 20E1 20E7 20E9 20F0 2CEF-2CF1 2DE0-2DFF A66F A67C-A67D
A6F0-A6F1 A8E0-A8F1 AAB0 AAB2-AAB3 AAB7-AAB8 AABE-AABF AAC1 FE20-FE26 10A0F 10A38 1D185-1D189 1D1AA-1D1AD
1D242-1D244
"""
MARKS = "".join(
    chr(code)
    for first, _, last in (span.partition("-") for span in SPANS.split())
    for code in range(int(first, 16), int(last or first, 16) + 1)
)
"""The 297 combining characters that mean 0, 1, 2, ... above a placeholder."""

LARGEST = len(MARKS)
"""Rows or columns of a picture."""

CHUNK = 4096
"""Bytes of a picture in one escape sequence: the protocol's limit."""


def new_number() -> int:
    """A picture's number, which is a colour of 24 bits; at random, since other programs may share the terminal."""
    return secrets.randbelow((1 << 24) - (1 << 16)) + (1 << 16)


def colour(number: int) -> tuple[int, int, int]:
    return number >> 16, number >> 8 & 255, number & 255


def send(image: Image.Image, number: int, place: tuple[int, int], tmux: bool, sparing: bool) -> str:
    """Give the terminal ``image``, to be shown on a place of columns and rows.

    ``tmux``: pass it through tmux. ``sparing``: in 256 colours, which takes a quarter of the bytes.
    """
    if sparing:
        from PIL import Image

        image = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    data = BytesIO()
    image.save(data, "PNG", compress_level=6)
    text = standard_b64encode(data.getvalue()).decode()
    chunks = [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)]
    heads = [f"a=t,f=100,i={number},", *[""] * (len(chunks) - 1)]
    more = [*[1] * (len(chunks) - 1), 0]
    parts = [_sequence(f"{head}q=2,m={m}", chunk, tmux) for head, m, chunk in zip(heads, more, chunks, strict=True)]
    columns, rows = place
    return "".join([*parts, _sequence(f"a=p,U=1,i={number},c={columns},r={rows},q=2", "", tmux)])


def free(number: int, tmux: bool) -> str:
    """Take a picture and its memory back from the terminal."""
    return _sequence(f"a=d,d=I,i={number},q=2", "", tmux)


def placeholders(columns: int, rows: int) -> list[str]:
    """The text of each row; each character has both marks, so that a part of a row means the same."""
    return ["".join(PLACEHOLDER + MARKS[row] + MARKS[column] for column in range(columns)) for row in range(rows)]


def _sequence(keys: str, data: str, tmux: bool) -> str:
    text = f"\x1b_G{keys}{';' if data else ''}{data}\x1b\\"
    return "\x1bPtmux;" + text.replace("\x1b", "\x1b\x1b") + "\x1b\\" if tmux else text
