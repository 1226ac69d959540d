"""The photos of a folder, of which only those that can be seen are read and drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from PIL import Image, ImageOps
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from dbtui.app.keys import bindings
from dbtui.app.photos import Album
from dbtui.app.pictures import Picture
from dbtui.app.widgets.tile_grid import Tile, TileGrid
from dbtui.core.dataset import UnusableError
from dbtui.core.errors import printable, printable_line


class PhotoTile(Tile):
    """A photo and its name."""

    path: Path | None = None
    _shown: tuple[Image.Image | None, bool] = (None, False)

    def compose(self) -> ComposeResult:
        yield Picture()
        yield Static(classes="reason")
        yield Static(classes="caption")

    def show(self, path: Path, found: Image.Image | UnusableError | None, excluded: bool, doubted: bool) -> None:
        """``found`` is the photo, small, or why there is none; None if nobody has looked."""
        self.path = path
        self.set_class(excluded, "-excluded")
        unusable = isinstance(found, UnusableError)
        self.set_class(unusable, "-unusable")
        self.query_one(".reason", Static).update(Content(printable(found) if unusable else ""), layout=False)
        image = None if isinstance(found, UnusableError) else found
        if self._shown[0] is not image or self._shown[1] != excluded:
            self._shown = image, excluded
            self.query_one(Picture).image = _faded(image) if image and excluded else image
        mark, colour = ("\u2717 ", "") if excluded else ("! ", "$warning") if doubted or unusable else ("", "")
        name = printable_line(path.name)
        self.query_one(".caption", Static).update(Content.assemble((mark, colour), name), layout=False)


class PhotoGrid(TileGrid):
    """Shows the photos that an album has, and asks for those that it has not."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("photos")]

    @dataclass
    class Needed(Message):
        """These have come into view and have not been read."""

        paths: list[Path]

    def __init__(self, album: Album, id: str) -> None:
        super().__init__(id=id)
        self._album = album
        self._photos: Sequence[Path] = ()
        self._excluded: Collection[str] = ()
        self._doubted: Collection[str] = ()

    @property
    def current(self) -> Path | None:
        """Under the cursor."""
        return self._photos[self.cursor] if self._photos else None

    def show(self, photos: Sequence[Path]) -> None:
        """Show the photos of a folder, from the first on; the cursor stays on its photo if that is there."""
        before = self.current
        self._photos = photos
        self.start_over(len(photos), photos.index(before) if before in photos else 0)

    def mark(self, excluded: Collection[str], doubted: Collection[str]) -> None:
        """Names of the files that are left out, and of those that something is to be said about."""
        self._excluded, self._doubted = excluded, doubted
        self.fill_all()

    def put(self, path: Path) -> None:
        """The album has this photo now, or why it cannot."""
        for tile in self.query_children(PhotoTile):
            if tile.path == path:
                self.draw(tile)

    def make_tile(self) -> PhotoTile:
        return PhotoTile()

    def fill(self, tile: Tile, place: int) -> None:
        assert isinstance(tile, PhotoTile)
        path = self._photos[place]
        tile.show(path, self._album.at_hand(path), path.name in self._excluded, path.name in self._doubted)

    def filled(self) -> None:
        """Ask for the photos that have not been read."""
        needed = [path for path in (self._photos[place] for place in self.seen) if self._album.at_hand(path) is None]
        if needed:
            self.post_message(self.Needed(needed))
        many = self.count > len(self.seen)
        self.border_subtitle = f"{self.cursor + 1:,} of {self.count:,}" if many else ""


def _faded(image: Image.Image) -> Image.Image:
    """What is left out keeps its shape and loses its colour."""
    return ImageOps.colorize(ImageOps.grayscale(image), "#202020", "#808080")
