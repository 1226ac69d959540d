"""What is kept only to save time: entries with their size and last use, and their removal."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dbtui.core import paths
from dbtui.core.errors import UsageError, printable
from dbtui.core.run import runs
from dbtui.core.units import plural
from dbtui.core.weights import read_metadata

if TYPE_CHECKING:
    from huggingface_hub import HFCacheInfo

ABOUT = "about.json"
"""In a folder of class pictures: what they were made from."""

LATENTS_KEY = "dbtui"
"""In the header of encoded pictures: a JSON object with ``what`` they are and the ``sha256`` of that and the tensors."""

LONGEST_TEXT = 1 << 16
"""Characters that are read of what describes an entry."""

FRESH = 3600.0
"""Seconds in which something unfinished may still be worked on."""

CLOCK = 5.0
"""Seconds by which a file's time and a process's start may be apart."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in the cache: ``what`` it is in words, ``size`` in bytes, last ``used`` in seconds since the epoch."""

    kind: str
    what: str
    path: Path
    size: int
    used: float
    in_use: bool = False
    """Whether a live run may be reading it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of entry in dbtui's own cache: what it is called and how an entry is recognised and described."""

    label: str
    folders: tuple[str, ...]
    name: re.Pattern[str]
    describe: Callable[[Path], str]


def touch(path: Path) -> None:
    """Say that the entry at ``path`` was used just now."""
    with contextlib.suppress(OSError):  # a cache that may only be read is as good
        os.utime(path)


def _text(file: Path) -> str:
    """The beginning of a file. Raises OSError, ValueError for what is none: a pipe would be waited for."""
    if not file.is_file():
        raise ValueError(f"{file} is no regular file")
    with open(file, encoding="utf-8", errors="replace") as lines:
        return lines.read(LONGEST_TEXT)


def _short(*words: str) -> str:
    """``words`` as a part of one line of a table, the first cut to a length that fits there."""
    first, *rest = (printable(word).replace("\n", " ") for word in words)
    return ", ".join([first if len(first) <= 100 else f"{first[:97]}...", *rest])


def _describe_class(folder: Path) -> str:
    """``'a photo of a dog' at 512 px from mini, 100 pictures``."""
    count = plural(sum(1 for _ in folder.glob("*.png")), "picture")
    try:
        about = json.loads(_text(folder / ABOUT))
        return _short(f"{about['prompt']!r} at {about['resolution']} px from {about['model']}", count)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"{count} of which nothing is known"


def _describe_latents(file: Path) -> str:
    """``1.jpg at 512 px``."""
    try:
        return _short(json.loads(read_metadata(file)[LATENTS_KEY])["what"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "damaged"


def _describe_hash(file: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        return _short(_text(file).partition("\n")[0][66:]) or "damaged"
    return "damaged"


def _describe_unfinished(path: Path) -> str:
    return "left by a program that was interrupted"


OWN = {
    "class": Kind("class pictures", ("class",), re.compile(r"[0-9a-f]{32}"), _describe_class),
    "latents": Kind("encoded pictures", ("latents",), re.compile(r"[0-9a-f]{64}\.safetensors"), _describe_latents),
    "hashes": Kind("hashes of models", ("hashes",), re.compile(r"[0-9a-f]{64}"), _describe_hash),
    "unfinished": Kind(
        "unfinished",
        ("", "latents", "hashes"),
        re.compile(r"\.(scratch|pruned)-.+|\.[0-9a-f]{64}.+"),
        _describe_unfinished,
    ),
}

HUB = "hub"
"""The kind of models in the hub's cache, which other programs share."""

KINDS = (*OWN, HUB)


def entries(kinds: Collection[str] = KINDS) -> list[Entry]:
    """The entries of these kinds, the one used longest ago first."""
    since, models = _live_runs()
    found = [entry for name in kinds if name in OWN for entry in _own_entries(name, since)]
    if HUB in kinds:
        found += _hub_entries(models)
    return sorted(found, key=lambda entry: entry.used)


def choose(
    found: Sequence[Entry], older_than: float | None = None, to_size: int | None = None, now: float | None = None
) -> list[Entry]:
    """What to remove of ``found``: what was not used for ``older_than`` seconds, then the longest
    unused until the rest has at most ``to_size`` bytes; with neither, all. Nothing that is in use.
    """
    free = sorted((entry for entry in found if not entry.in_use), key=lambda entry: entry.used)
    if older_than is None and to_size is None:
        return free
    deadline = (time.time() if now is None else now) - (math.inf if older_than is None else older_than)
    chosen = [entry for entry in free if entry.used < deadline]
    left = sum(entry.size for entry in found) - sum(entry.size for entry in chosen)
    for entry in free[len(chosen) :]:
        if to_size is None or left <= to_size:
            break
        chosen.append(entry)
        left -= entry.size
    return chosen


def remove(entry: Entry) -> None:
    """Delete one entry: it leaves the cache whole, then goes.

    Raises OSError, FileNotFoundError if somebody else was faster, ValueError for what is no entry.
    """
    if entry.kind == HUB:
        _remove_from_hub(entry)
        return
    kind = OWN[entry.kind]
    if entry.path.parent not in _folders(kind) or not _is_entry(kind, entry.path):
        if not os.path.lexists(entry.path):
            raise FileNotFoundError(f"{entry.path} is gone")
        raise ValueError(f"{entry.path} is not in the cache")
    doomed = paths.cache_dir() / f".pruned-{os.getpid()}-{entry.path.name}"
    os.rename(entry.path, doomed)
    if doomed.is_dir():
        shutil.rmtree(doomed)  # which removes links, and never what they lead to
    else:
        doomed.unlink()


def _own_entries(name: str, since: float) -> Iterator[Entry]:
    kind = OWN[name]
    for path in _candidates(kind):
        with contextlib.suppress(FileNotFoundError):  # gone since it was listed
            status = path.lstat()
            size = paths.folder_size(path) if path.is_dir() else status.st_size
            busy = status.st_mtime >= (since - CLOCK if name != "unfinished" else time.time() - FRESH)
            yield Entry(name, kind.describe(path), path, size, status.st_mtime, busy)


def _candidates(kind: Kind) -> list[Path]:
    """Files and folders of the kind's name in its folders."""
    return [path for folder in _folders(kind) for path in folder.iterdir() if _is_entry(kind, path)]


def _folders(kind: Kind) -> list[Path]:
    """Those of the kind that are there. What a link leads to is somebody else's."""
    root = paths.cache_dir()
    folders = [root / name if name else root for name in kind.folders]
    return [folder for folder in folders if folder.is_dir() and (folder == root or not folder.is_symlink())]


def _is_entry(kind: Kind, path: Path) -> bool:
    return bool(kind.name.fullmatch(path.name)) and os.path.lexists(path) and not path.is_symlink()


def _live_runs() -> tuple[float, set[str]]:
    """When the first of the live trainers started (infinity without any), and the models that they use."""
    live = [(run, trainer) for run in runs() if (trainer := run.trainer()) is not None]
    models = set()
    for run, _ in live:
        with contextlib.suppress(UsageError):
            models.add(run.config.model.base)
    return min((started for _, (_, started) in live), default=math.inf), models


def _hub_entries(models: Collection[str]) -> Iterator[Entry]:
    """What the hub's cache has; ``models`` are the names or folders of those that live runs use."""
    info = _hub_info()
    for repo in info.repos if info else ():
        busy = any(model == repo.repo_id or Path(model).is_relative_to(repo.repo_path) for model in models)
        name = printable(repo.repo_id) + ("" if repo.repo_type == "model" else f" ({repo.repo_type})")
        yield Entry(HUB, name, repo.repo_path, repo.size_on_disk, repo.last_accessed, busy)


def _remove_from_hub(entry: Entry) -> None:
    info = _hub_info()
    for repo in info.repos if info else ():
        if info is not None and repo.repo_path == entry.path:
            # Of this one alone: models from hubs that name no commits can share one.
            alone = replace(info, repos=frozenset([repo]))
            alone.delete_revisions(*(revision.commit_hash for revision in repo.revisions)).execute()
    if entry.path.exists():
        raise OSError(f"{printable(entry.path)} could not be removed")


def _hub_info() -> HFCacheInfo | None:
    from dbtui.core.hub_cache import cache_root, hub_library

    root, library = cache_root(), hub_library()
    from huggingface_hub.errors import CacheNotFound

    try:
        return library.scan_cache_dir(root)
    except (CacheNotFound, ValueError):
        return None
