"""Where things are kept, and how files are written so that they are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs


def home() -> Path | None:
    """The folder that ``DBTUI_HOME`` names, if it is set."""
    value = os.environ.get("DBTUI_HOME")
    return expand(value).absolute() if value else None


def expand(path: str | Path) -> Path:
    """``path`` with ``~`` as the home folder; as it is where there is nobody of that name."""
    return Path(os.path.expanduser(path))


def data_dir() -> Path:
    """Concepts, runs and pictures."""
    return home() or Path(platformdirs.user_data_dir("dbtui", appauthor=False))


def cache_dir() -> Path:
    """What can be made again: class pictures and latents."""
    root = home()
    return root / "cache" if root else Path(platformdirs.user_cache_dir("dbtui", appauthor=False))


def config_dir() -> Path:
    """What a person has chosen: the app's settings."""
    root = home()
    return root / "config" if root else Path(platformdirs.user_config_dir("dbtui", appauthor=False))


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
def whole_file(destination: Path, replace: bool = False) -> Iterator[Path]:
    """Yield a path beside ``destination``; the file that the block writes there becomes it if the block ends well.

    For files too large for ``write_atomic``. The path has the suffix of ``destination``. The file is synced before the rename. Raises FileExistsError if
    there is a ``destination`` that is not to be replaced; nothing is left behind on any error.
    """
    partial = _partial(destination.with_suffix("")).with_suffix(destination.suffix)
    try:
        yield partial
        with open(partial, "rb+") as handle:
            os.fsync(handle.fileno())
        if not replace and destination.exists():
            raise FileExistsError(f"{destination} exists")
        os.replace(partial, destination)
        sync_folder(destination.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def _partial(destination: Path) -> Path:
    """A name beside ``destination`` that nothing has."""
    return destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.partial")


@contextlib.contextmanager
def whole_folder(destination: Path, mode: int = 0o700, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``destination`` that becomes it if the block ends well.

    Every file is synced before the rename. Raises FileExistsError if something that is not to be replaced
    has taken the place of ``destination`` in the meantime; nothing is left behind on any error. What is
    replaced stays where it is until the new folder is ready.
    """
    make_private(destination.parent)
    partial, old = _partial(destination), _partial(destination)
    try:
        partial.mkdir(mode=mode)
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                with open(file, "rb+") as handle:
                    os.fsync(handle.fileno())
        if replace and destination.exists():
            os.rename(destination, old)
        _rename_folder(partial, destination)
        sync_folder(destination.parent)
    except BaseException:
        if old.exists() and not destination.exists():
            os.rename(old, destination)
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _rename_folder(folder: Path, destination: Path) -> None:
    """Raises FileExistsError if there is a ``destination``."""
    if destination.exists():
        raise FileExistsError(f"{destination} exists")
    try:
        os.rename(folder, destination)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:  # taken since the line above
            raise FileExistsError(f"{destination} exists") from error
        raise


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder on the cache's disk that is gone after the block."""
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=make_private(cache_dir())) as folder:
        yield Path(folder)


def folder_size(folder: Path) -> int:
    """Bytes of all files below ``folder``; what vanishes meanwhile counts as nothing."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_size
    return total
