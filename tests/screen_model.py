"""What a terminal shows that was sent these bytes: enough of one to read the words in its window."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder

from rich.cells import split_graphemes

SEQUENCE = re.compile(
    r"\x1b\[(?P<numbers>[\d;]*)(?P<final>[HJK])"  # go to, clear the window, clear the line
    r"|\x1b\[[\d;:?>=$ ]*[@-~]|\x1b[P_\]].*?(?:\x1b\\|\x07)|\x1b[()].|\x1b.|(?P<control>[\x00-\x1f])",
    re.DOTALL,
)


class ScreenModel:
    """Takes what is written, and has the characters where they were put."""

    def __init__(self) -> None:
        self._cells: dict[int, dict[int, str]] = {}
        self._x = self._y = 0
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def write(self, data: bytes) -> None:
        text = self._rest + self._decode(data)
        # The last sequence may not have come whole.
        cut = text.rfind("\x1b") if "\x1b" in text[-64:] else len(text)
        text, self._rest, place = text[:cut], text[cut:], 0
        for match in SEQUENCE.finditer(text):
            self._put(text[place : match.start()])
            place = match.end()
            self._obey(match)
        self._put(text[place:])

    @property
    def text(self) -> str:
        """The window line by line."""
        rows = range(max(self._cells, default=-1) + 1)
        return "\n".join(self._line(self._cells.get(row, {})) for row in rows)

    def _line(self, cells: dict[int, str]) -> str:
        return "".join(cells.get(column, " ") for column in range(max(cells, default=-1) + 1)).rstrip()

    def _put(self, text: str) -> None:
        for start, end, width in split_graphemes(text)[0]:
            row = self._cells.setdefault(self._y, {})
            row[self._x] = text[start:end]
            row.update(dict.fromkeys(range(self._x + 1, self._x + width), ""))
            self._x += width

    def _obey(self, match: re.Match[str]) -> None:
        if match["control"] == "\n":
            self._y, self._x = self._y + 1, 0
        elif match["control"] == "\r":
            self._x = 0
        elif match["final"] == "H":
            numbers = [int(number or 1) for number in match["numbers"].split(";")]
            self._y, self._x = numbers[0] - 1, (numbers[1] if len(numbers) > 1 else 1) - 1
        elif match["final"] == "J":
            self._cells.clear()
        elif match["final"] == "K":
            self._cells[self._y] = {x: c for x, c in self._cells.get(self._y, {}).items() if x < self._x}
