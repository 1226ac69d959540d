"""Grids that were drawn before, read from their folders: the pictures, and what each says of itself."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dbtui.core import paths
from dbtui.core.grid import GAP, Recipe
from dbtui.core.names import free_name, slug

STAMP = re.compile(r"\d{8}-\d{6}(-\d+)?")
"""The name of a grid's folder."""

NUMBER = re.compile(r"\d{3,}\.png")


@dataclass(frozen=True, slots=True)
class Grid:
    """A folder of pictures; ``columns`` 0 if it was not finished."""

    folder: Path
    pictures: tuple[Path, ...]
    recipes: tuple[Recipe | None, ...]
    """Of each picture; None for one that does not say how it was made."""
    columns: int

    @property
    def rows(self) -> int:
        return -(-len(self.pictures) // self.columns) if self.columns else 0

    @property
    def file(self) -> Path:
        """All of them in one picture."""
        return self.folder / "grid.png"


def new_folder(name: str, kind: str = "") -> Path:
    """A new folder for pictures of the concept or model ``name``; ``kind`` keeps other things than grids apart."""
    parent = paths.make_private(paths.pictures_dir() / (slug(name) or "model"))
    stamp = f"{kind}{time.strftime('%Y%m%d-%H%M%S')}"
    return paths.make_private(parent / free_name(stamp, lambda word: (parent / word).exists()))


def grid_folders(name: str) -> list[Path]:
    """The grids of ``name``, the oldest first, without those that have no picture. Never raises."""
    parent = paths.pictures_dir() / (slug(name) or "model")
    try:
        folders = sorted(folder for folder in parent.iterdir() if STAMP.fullmatch(folder.name))
    except OSError:
        return []
    return [folder for folder in folders if _has_picture(folder)]


def _has_picture(folder: Path) -> bool:
    try:
        return any(NUMBER.fullmatch(name) for name in os.listdir(folder))
    except OSError:  # a drawing that was cancelled takes its empty folder away
        return False


def read_grid(folder: Path) -> Grid:
    """The grid in ``folder``. Raises OSError if it cannot be read."""
    pictures = _pictures(folder)
    width, recipes = 0, []
    for picture in pictures:
        width, recipe = _read(picture)
        recipes.append(recipe)
    columns = 0
    if width and (folder / "grid.png").is_file():
        columns = min((_read(folder / "grid.png", False)[0] + GAP) // (width + GAP), len(pictures))
    return Grid(folder, tuple(pictures), tuple(recipes), columns)


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if NUMBER.fullmatch(p.name))


def _read(file: Path, recipe: bool = True) -> tuple[int, Recipe | None]:
    """Width in pixels, 0 if it is no picture; and how it was made, if it says so."""
    try:
        with Image.open(file, formats=["PNG"]) as image:
            text = image.info.get("parameters", "") if recipe else ""
            return image.width, Recipe.parse(text) if text else None
    except ValueError:
        return image.width, None
    except (OSError, SyntaxError):
        return 0, None
