"""A grid of pictures from a file, laid out anew so that each is as large as the place allows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual.geometry import Size

from dbtui.app.pictures import Picture

if TYPE_CHECKING:
    from PIL import Image


class Preview(Picture):
    """Shows one grid at a time."""

    _shape = (1, 1)
    _side = 0

    def show(self, path: Path | None, rows: int = 1, columns: int = 1, side: int = 0) -> None:
        """Show the file, a grid of ``rows`` x ``columns`` pictures, or of as many as are ``side`` pixels wide and high.

        None shows nothing.
        """
        self._shape, self._side = (rows, columns), side
        self.path = path

    def lay_out(self, image: Image.Image, box: Size) -> Image.Image:
        from dbtui.core.grid import best_columns, make_grid, shape_of, split_grid

        shape = shape_of(image.size, self._side) if self._side else self._shape
        pictures = split_grid(image, *shape)
        aspect = pictures[0].width / pictures[0].height
        return make_grid(pictures, best_columns(len(pictures), aspect, box.width, box.height))
