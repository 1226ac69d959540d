"""The local cache of the hub, in the layout that every tool of the hub shares: blobs, snapshots, refs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbtui.core.errors import UsageError, printable
from dbtui.core.paths import write_atomic


def is_id(name: str) -> bool:
    """Whether ``name`` can be a model's name on the hub: ``owner/model``, and not that of a file that is not there."""
    shaped = re.fullmatch(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}", name, re.ASCII)
    return shaped is not None and re.search(r"--|\.\.|\.(safetensors|ckpt)$", name, re.IGNORECASE) is None


def is_offline() -> bool:
    """Whether the environment forbids to ask the hub."""
    words = (os.environ.get(key, "") for key in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(word.upper() in ("1", "ON", "YES", "TRUE") for word in words)


def cache_root() -> Path:
    """The folder of the cache: ``HF_HUB_CACHE``, or ``hub`` in ``HF_HOME``."""
    return Path(hub_library().constants.HF_HUB_CACHE)


def hub_library() -> Any:
    """The module huggingface_hub. Raises UsageError where the environment has a value that it cannot begin with."""
    try:
        import huggingface_hub
        from huggingface_hub import constants  # noqa: F401 - reads the environment
    except ValueError as error:
        names = ", ".join(sorted(name for name in os.environ if name.startswith("HF_") and "TOKEN" not in name))
        raise UsageError(
            "The hub's settings in the environment cannot be used",
            f"One of {printable(names)} has a value that makes no sense ({printable(error)}).",
            "Correct or unset it. HF_ENDPOINT is an address such as https://huggingface.co.",
        ) from None
    return huggingface_hub


def find_snapshot(name: str) -> Path | None:
    """The folder that holds the newest known version of a model, whole or not; None if there is none."""
    entry = _entry(name)
    try:
        commit = (entry / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    folder = entry / "snapshots" / commit
    return folder if re.fullmatch(r"\w+", commit) and folder.is_dir() else None


def cached_models() -> list[str]:
    """The names of all models of which the cache has something."""
    folders = cache_root().glob("models--*--*")
    return sorted(folder.name.removeprefix("models--").replace("--", "/", 1) for folder in folders)


def _entry(name: str) -> Path:
    return cache_root() / ("models--" + name.replace("/", "--"))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The version ``commit`` of the model ``name``, as it is being filled."""

    name: str
    commit: str

    @property
    def path(self) -> Path:
        return _entry(self.name) / "snapshots" / self.commit

    def has(self, file: str) -> bool:
        return (self.path / file).is_file()

    def partial(self, file: str, digest: str) -> Path:
        """Where the bytes of a file gather; the same in every process, so that the next goes on with them."""
        key = digest or hashlib.sha256(f"{self.commit}/{file}".encode()).hexdigest()
        return _entry(self.name) / "blobs" / f"{key}.incomplete"

    def blob(self, digest: str, size: int | None) -> Path | None:
        """The whole file of that hash and length, from whatever version it came."""
        path = _entry(self.name) / "blobs" / digest
        return path if digest and path.is_file() and size in (None, path.stat().st_size) else None

    def add(self, file: str, blob: Path) -> None:
        """Put the whole file ``blob`` into the snapshot as ``file``."""
        pointer = self.path / file
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)
        try:
            pointer.symlink_to(os.path.relpath(blob, pointer.parent))
        except OSError:  # a file system without links
            os.replace(blob, pointer)

    def keep(self, file: str, partial: Path, digest: str) -> None:
        """Turn the checked ``partial`` into the blob of that hash, and the blob into ``file``."""
        with open(partial, "rb+") as handle:
            os.fsync(handle.fileno())
        blob = partial.with_name(digest)
        os.replace(partial, blob)
        self.add(file, blob)

    def make_current(self) -> None:
        """Make this the version that the model's name stands for."""
        refs = _entry(self.name) / "refs"
        refs.mkdir(parents=True, exist_ok=True)
        write_atomic(refs / "main", self.commit)

    @contextlib.contextmanager
    def locked(self, partial: Path, wait: Callable[[], None]) -> Iterator[None]:
        """Hold the lock of a file, as other tools of the hub do; ``wait`` is called while another has it."""
        folder = cache_root() / ".locks" / _entry(self.name).name
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f"{partial.stem}.lock", "ab") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    wait()
                    continue
                except OSError:
                    pass  # a file system without locks
                break
            yield
