"""Where things are kept, and how files are written so that they are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs


def home() -> Path | None:
    """The folder that ``DBTUI_HOME`` names, if it is set."""
    value = os.environ.get("DBTUI_HOME")
    return Path(value).expanduser().absolute() if value else None


def data_dir() -> Path:
    """Concepts, runs and pictures."""
    return home() or Path(platformdirs.user_data_dir("dbtui", appauthor=False))


def cache_dir() -> Path:
    """What can be made again: class pictures and latents."""
    root = home()
    return root / "cache" if root else Path(platformdirs.user_cache_dir("dbtui", appauthor=False))


def concepts_dir() -> Path:
    return data_dir() / "concepts"


def runs_dir() -> Path:
    return data_dir() / "runs"


def pictures_dir() -> Path:
    """Grids made by ``dbtui sample`` when no folder was named."""
    return data_dir() / "pictures"


def mini_dir() -> Path:
    """The embedded model and its subjects, inside the installed package."""
    return Path(__file__).resolve().parent.parent / "mini"


def make_private(folder: Path) -> Path:
    """Create ``folder`` and its missing parents, readable by this user alone (0700)."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    return folder


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write ``content`` so that a reader sees the old file or the new one, never a part."""
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def whole_folder(destination: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``destination`` that becomes it if the block ends well.

    Every file is synced before the rename. Raises FileExistsError if something has taken
    the place of ``destination`` in the meantime; nothing is left behind on any error.
    """
    make_private(destination.parent)
    partial = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", suffix=".partial", dir=destination.parent))
    try:
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                with open(file, "rb+") as handle:
                    os.fsync(handle.fileno())
        if destination.exists():
            raise FileExistsError(f"{destination} exists")
        try:
            os.rename(partial, destination)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:  # taken since the line above
                raise FileExistsError(f"{destination} exists") from error
            raise
        sync_folder(destination.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def folder_size(folder: Path) -> int:
    """Bytes of all files below ``folder``; what vanishes meanwhile counts as nothing."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_size
    return total
