"""A grid of pictures from a file, laid out anew so that each is as large as the place allows."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from textual.geometry import Size

from dbtui.app.pictures import Picture
from dbtui.core.grid import best_columns, make_grid, split_grid


class Preview(Picture):
    """Shows one grid at a time."""

    _shape = (1, 1)

    def show(self, path: Path | None, rows: int = 1, columns: int = 1) -> None:
        """Show the file, a grid of ``rows`` x ``columns`` pictures; None shows nothing."""
        self._shape = rows, columns
        self.path = path

    def lay_out(self, image: Image.Image, box: Size) -> Image.Image:
        pictures = split_grid(image, *self._shape)
        aspect = pictures[0].width / pictures[0].height
        return make_grid(pictures, best_columns(len(pictures), aspect, box.width, box.height))
