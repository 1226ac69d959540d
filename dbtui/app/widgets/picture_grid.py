"""Pictures that were drawn, or are being drawn, with a cursor on one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PIL import Image
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from dbtui.app.keys import bindings
from dbtui.app.pictures import Picture
from dbtui.app.widgets.tile_grid import Tile, TileGrid


@dataclass(slots=True)
class Cell:
    """A place for a picture: what is there by now, and the words below it."""

    picture: Path | Image.Image | None = None
    """The file of a finished picture, a look at a forming one, or nothing yet."""
    words: str = ""

    @property
    def path(self) -> Path | None:
        """Of a finished picture."""
        return self.picture if isinstance(self.picture, Path) else None


class PictureTile(Tile):
    """A picture, and a line below it."""

    _shown: Path | Image.Image | None = None

    def compose(self) -> ComposeResult:
        yield Picture()
        yield Static(classes="caption")

    def show(self, cell: Cell) -> None:
        self.query_one(".caption", Static).update(Content(cell.words), layout=False)
        if cell.picture is self._shown:
            return
        self._shown = cell.picture
        picture, path = self.query_one(Picture), cell.path
        if path is not None:
            picture.path, picture.image = path, None
        else:
            picture.image, picture.path = (cell.picture if isinstance(cell.picture, Image.Image) else None), None


class PictureGrid(TileGrid):
    """Keeps to the columns that were asked for while its pictures are large enough in them."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("grid")]
    least: ClassVar[tuple[int, int]] = (14, 6)  # so that nine have room in the smallest window

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.cells: list[Cell] = []
        self.asked = 0
        self.place = ""
        """Words for where these pictures stand among others."""

    @property
    def current(self) -> Cell | None:
        """Under the cursor."""
        return self.cells[self.cursor] if self.cells else None

    def show(self, cells: list[Cell], columns: int = 0) -> None:
        """Show the pictures of this very list; ``columns`` 0 is as many as make them largest."""
        cursor = self.cursor if len(cells) == self.count else 0
        self.cells, self.asked = cells, columns
        self.start_over(len(cells), cursor)

    def put(self, place: int, picture: Path | Image.Image | None, words: str | None = None) -> None:
        """A picture has come, or has come nearer to what it will be."""
        if place < len(self.cells):
            cell = self.cells[place]
            cell.picture, cell.words = picture, cell.words if words is None else words
            self.draw_place(place)

    def columns_for(self, width: int, height: int) -> int:
        asked = self.asked
        if asked and width // asked >= self.least[0] and height // -(-self.count // asked) >= self.least[1]:
            return asked
        return super().columns_for(width, height)

    def filled(self) -> None:
        seen = self.seen
        part = f"pictures {seen[0] + 1}-{seen[-1] + 1} of {self.count}" if 0 < len(seen) < self.count else ""
        self.border_subtitle = " \u00b7 ".join(filter(None, (part, self.place)))

    def make_tile(self) -> PictureTile:
        return PictureTile()

    def fill(self, tile: Tile, place: int) -> None:
        assert isinstance(tile, PictureTile)
        tile.show(self.cells[place])


class PictureTable(PictureGrid):
    """A picture for each row and column; its rows have names beside them. What has no room is scrolled to."""

    least: ClassVar[tuple[int, int]] = (14, 6)

    @property
    def wide(self) -> int:
        return max(1, self.asked)

    @dataclass
    class Scrolled(Message):
        """The first row in view, how many are, and how many lines each has."""

        first: int
        rows: int
        height: int

    def columns_for(self, width: int, height: int) -> int:
        return max(1, min(self.asked, width // self.least[0]))

    def filled(self) -> None:
        (top, left), rows = divmod(self._first, self.wide), -(-self.count // self.wide)
        parts = [("columns", left, self._columns, self.wide), ("rows", top, self._rows, rows)]
        words = [f"{name} {first + 1}-{first + shown} of {all}" for name, first, shown, all in parts if shown < all]
        self.border_subtitle = " \u00b7 ".join(words)
        self.post_message(self.Scrolled(top, self._rows, self.content_size.height // self._rows))
