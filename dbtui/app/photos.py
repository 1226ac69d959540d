"""Folders and their photos, read in worker threads: names, small pictures, the report. Knows no widget."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TypeVar

from PIL import Image
from textual.message_pump import MessagePump
from textual.worker import get_current_worker

from dbtui.app.draft import check_path
from dbtui.app.messages import FolderRead, PhotosReported, PictureRead
from dbtui.core.base_model import find_model
from dbtui.core.config import Config
from dbtui.core.dataset import Picture, UnusableError, examine, open_picture, scan
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.fields import AUTO

EXTENSIONS = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".heic",
    ".heif", ".hif", ".avif",
}  # fmt: skip
"""Of files that are shown before they have been looked at. What a file is, its bytes say."""

MANY = 200
"""Pictures above which a folder is not looked at until that is asked for: a subject needs ten."""

SMALL = 320
"""Pixels on the shorter side of a small picture: more than a thumbnail has in any terminal."""

KEPT = 256
"""Small pictures that are kept: about 60 MB."""

BETWEEN = 0.25
"""Seconds between two words on how far a look at a folder is."""

Found = TypeVar("Found")


def is_hidden(name: str) -> bool:
    return name.startswith(".")


def list_folders(folder: Path) -> list[Path]:
    """The folders in ``folder`` by name; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not is_hidden(entry.name) and _is_dir(entry)]
    except OSError:
        return []
    return [folder / name for name in sorted(names, key=str.casefold)]


def list_pictures(folder: Path) -> list[Path]:
    """The files in ``folder`` whose names are those of pictures, in the order of ``scan``.

    Raises UsageError if it cannot be read, or has a name that no config can hold.
    """
    check_path(folder)
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if not is_hidden(e.name) and Path(e.name).suffix.lower() in EXTENSIONS]
    except OSError as error:
        raise UsageError(
            "This folder cannot be read", f"{printable(folder)}: {printable(error.strerror)}.", "Choose another one."
        ) from error
    return [folder / name for name in sorted(names)]


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def complete_path(text: str) -> tuple[str, list[str]]:
    """What Tab makes of a path of a folder, and the names that it could go on with."""
    head, _, start = text.rpartition("/")
    parent = Path(os.path.expanduser(f"{head}/" if head or text.startswith("/") else "."))
    if text in ("~", "."):
        return f"{text}/", []
    names = [path.name for path in list_folders(parent) if path.name.startswith(start)]
    if not names:
        return text, []
    begin = text[: len(text) - len(start)]
    if len(names) == 1:
        return f"{begin}{names[0]}/", []
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return begin + "".join(letters[0] for letters in alike), names


class Album:
    """Remembers what was read of pictures: a file is decoded again only when it has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: dict[tuple[Path, int, int], Picture | UnusableError] = {}
        self._small: OrderedDict[tuple[Path, int, int], Image.Image | UnusableError] = OrderedDict()

    def look(self, path: Path) -> Picture:
        """As ``examine``."""
        key = _key(path)
        if key not in self._looks:
            self._looks[key] = _or_error(lambda: examine(path))
        return _raised(self._looks[key])

    def small(self, path: Path) -> Image.Image:
        """The picture, small. Raises UnusableError."""
        key = _key(path)
        with self._lock:
            found = self._small.get(key)
        if found is None:
            found = _or_error(lambda: _shrink(open_picture(path, SMALL), SMALL))
        with self._lock:
            self._small[key] = found
            self._small.move_to_end(key)
            while len(self._small) > KEPT:
                self._small.popitem(last=False)
        return _raised(found)

    def at_hand(self, path: Path) -> Image.Image | UnusableError | None:
        """What ``small`` gave for the file as it was then; None if it is not kept. Touches no disk."""
        with self._lock:
            return next((found for key, found in reversed(self._small.items()) if key[0] == path), None)


def _key(path: Path) -> tuple[Path, int, int]:
    """The file as it is now."""
    try:
        stat = path.stat()
    except OSError:
        return path, 0, 0
    return path, stat.st_mtime_ns, stat.st_size


def _or_error(read: Callable[[], Found]) -> Found | UnusableError:
    try:
        return read()
    except UnusableError as error:
        return error


def _raised(found: Found | UnusableError) -> Found:
    if isinstance(found, UnusableError):
        raise found
    return found


def _shrink(image: Image.Image, side: int) -> Image.Image:
    """``image`` with at most ``side`` pixels on its shorter side and three times that on the other."""
    factor = min(1.0, side / min(image.size), 3 * side / max(image.size))
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image if factor == 1.0 else image.resize(size, Image.Resampling.BOX, reducing_gap=2.0)


class _Left(Exception):
    """The worker is no longer wanted."""


def read_folder(screen: MessagePump, folder: Path, excluded: Collection[str], album: Album, config: Config) -> None:
    """Post the pictures of a folder, and then what is to be said of them, unless they are too many."""
    try:
        pictures = list_pictures(folder)
    except DbtuiError as error:
        screen.post_message(FolderRead(folder, [], error))
        return
    screen.post_message(FolderRead(folder, pictures))
    if 0 < len(pictures) <= MANY:
        report_photos(screen, folder, excluded, album, config)


def report_photos(screen: MessagePump, folder: Path, excluded: Collection[str], album: Album, config: Config) -> None:
    """Look at every file of a folder, and post how far that is and what was found."""
    worker, told = get_current_worker(), time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal told
        if worker.is_cancelled:
            raise _Left
        if time.monotonic() - told > BETWEEN:
            told = time.monotonic()
            screen.post_message(PhotosReported(folder, done=done, total=total))

    try:
        report = scan(folder, _resolution(config), excluded, progress, album.look)
        screen.post_message(PhotosReported(folder, report))
    except DbtuiError as error:
        screen.post_message(PhotosReported(folder, problem=error))
    except _Left:
        pass


def _resolution(config: Config) -> int:
    """Pixels that the photos will be cut to, as far as the model can be asked."""
    if config.data.resolution != AUTO:
        return int(config.data.resolution)
    try:
        return find_model(config.model.base).resolution
    except DbtuiError:
        return 512


def read_pictures(screen: MessagePump, paths: Iterable[Path], album: Album) -> None:
    """Have the album read these, and post each that is done, usable or not."""
    worker = get_current_worker()
    for path in paths:
        if worker.is_cancelled:
            return
        with contextlib.suppress(UnusableError):
            album.small(path)
        screen.post_message(PictureRead(path))
