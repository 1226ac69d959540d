"""Words in pictures: each letter in a font that has it, and spelled out where this machine has none."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from functools import lru_cache

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

NOBODY = "\U0010ffff"
"""Not a letter: what a font draws for it stands for all that it lacks."""

PATIENCE = 5.0
"""Seconds for fontconfig to say which files have a letter."""


class Lettering:
    """Text of one size: Pillow's own font, and the system's for what that lacks. No font is shipped."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._plain = ImageFont.load_default(size)
        bottom = self._plain.getbbox("Xg")[3]
        self.height = round(bottom) + 4
        """Pixels from a line to the next."""

    def spelled(self, text: str) -> str:
        """``text`` with the letters that no font here has as ``\\u718a``."""
        return "".join(
            letter if self._font(letter) else letter.encode("unicode_escape").decode("ascii") for letter in text
        )

    def length(self, text: str) -> float:
        """Pixels that ``text`` is wide."""
        return sum(font.getlength(piece) for font, piece in self._runs(text))

    def draw(self, pencil: ImageDraw.ImageDraw, place: tuple[float, float], text: str, ink: str) -> None:
        """Write one line whose left upper corner is at ``place``."""
        x, y = place
        for font, piece in self._runs(text):
            if isinstance(font, ImageFont.FreeTypeFont):
                pencil.text((x, y + self._ascent), piece, ink, font, anchor="ls")
            else:
                pencil.text((x, y), piece, ink, font)
            x += font.getlength(piece)

    @property
    def _ascent(self) -> int:
        return self._plain.getmetrics()[0] if isinstance(self._plain, ImageFont.FreeTypeFont) else 0

    def _font(self, letter: str) -> Font | None:
        return self._plain if _has(self._plain, letter) else _system_font(letter, self._size)

    def _runs(self, text: str) -> list[tuple[Font, str]]:
        """Pieces that are of one font each."""
        groups = itertools.groupby(text, key=lambda letter: self._font(letter) or self._plain)
        return [(font, "".join(letters)) for font, letters in groups]


def _has(font: Font, letter: str) -> bool:
    if not isinstance(font, ImageFont.FreeTypeFont):
        return letter.isascii()
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask(NOBODY))


@lru_cache(1024)
def _system_font(letter: str, size: int) -> Font | None:
    """The first of the system's fonts that has ``letter``; None if it has none, or does not say."""
    for file in _files(letter):
        try:
            font = ImageFont.truetype(file, size)
        except OSError:  # one of pictures, such as emoji in colours
            continue
        if _has(font, letter):
            return font
    return None


@lru_cache(1024)
def _files(letter: str) -> tuple[str, ...]:
    """Fonts that have ``letter``, those without serifs first."""
    command = shutil.which("fc-list")
    if command is None:
        return ()
    try:
        told = subprocess.run(
            [command, f":charset={ord(letter):x}", "file"], capture_output=True, text=True, timeout=PATIENCE
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    files = {line.rstrip().rstrip(":") for line in told.stdout.splitlines() if line.strip()}
    return tuple(sorted(files, key=lambda file: ("Bold" in file, "Sans" not in file, len(file), file)))
