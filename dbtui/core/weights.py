"""Headers of safetensors files, read without torch: names, shapes, and whether the file is whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import struct
from pathlib import Path
from typing import Any

from dbtui.core import paths
from dbtui.core.errors import DbtuiError, printable, printable_line

LONGEST_HEADER = 25_000_000
"""Bytes, of the 100 million that the format allows: models of this kind have half a million."""

LARGEST = 2**48
"""No dimension and no file is larger."""

BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
         "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8}  # fmt: skip


OTHERS = {
    b"version ": "it is Git's pointer to the weights and not they themselves (`git lfs pull` fetches them)",
    b"<!DOCTYP": "it is a web page",
    b"<!doctyp": "it is a web page",
}
"""What a file is instead that begins with these eight bytes."""


class _UntrueError(ValueError):
    """Why a header cannot be true, in words for a person."""


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as one of safetensors does, whatever its name. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"


def read_header(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensors of a safetensors file: name to (type, shape).

    Raises DbtuiError if the file is cut short or its header cannot be true; allocates
    nothing but the header.
    """
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            beginning = file.read(8)
            (length,) = struct.unpack("<Q", beginning)
            if length > min(LONGEST_HEADER, size - 8):
                raise _UntrueError(
                    OTHERS.get(beginning, "its header is longer than the file, or than that of any model")
                )
            header: dict[str, Any] = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_unique)
        header.pop("__metadata__", None)
        tensors, spans = {}, []
        for name, entry in header.items():
            kind, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            numbers = (*shape, start, stop)
            if kind not in BYTES or len(shape) > 8 or any(type(n) is not int or not 0 <= n < LARGEST for n in numbers):
                raise _UntrueError(f"the entry of {_short(name)} makes no sense")
            if stop - start != math.prod(shape) * BYTES[kind]:
                raise _UntrueError(f"{_short(name)} does not have the bytes its shape needs")
            tensors[name] = (kind, shape)
            spans.append((start, stop))
        end = 0
        for start, stop in sorted(spans):
            if start != end:
                raise _UntrueError("its tensors overlap or leave gaps")
            end = stop
        if size != 8 + length + end:
            raise _UntrueError(f"it has {size:,} bytes and should have {8 + length + end:,}")
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = str(error) if isinstance(error, _UntrueError) else "its header makes no sense"
        raise DbtuiError(
            "A weights file is damaged or cut short",
            f"{printable(path)}: {why}. Nothing was loaded.",
            "Download or copy the file again.",
        ) from error
    return tensors


def _short(name: str) -> str:
    """A name out of a file, in a line of a sentence."""
    text = printable_line(name)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, if no key is in it twice: two readers could disagree about which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _UntrueError("its header has two entries of one name")
    return found


def read_metadata(path: Path) -> dict[str, Any]:
    """The texts in the header of a safetensors file; none if it is damaged or not there."""
    if not path.is_file():  # a pipe would be waited for
        return {}
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, LONGEST_HEADER)).decode("utf-8"))
        texts = header.get("__metadata__", {})
    except (OSError, struct.error, ValueError, AttributeError, RecursionError, MemoryError):
        return {}
    return texts if isinstance(texts, dict) else {}


def sha256(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """As sha256, remembered by path, size and time, since base models have gigabytes."""
    status = path.stat()
    key = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    memory = paths.cache_dir() / "hashes" / _hash_of_text(key)
    with contextlib.suppress(OSError):
        line, _, check = memory.read_text(encoding="utf-8", errors="replace").rstrip("\n").rpartition("\n")
        if check == _hash_of_text(f"{key}\n{line}"):
            os.utime(memory)  # the time of its last use
            return line[:64]
    digest = sha256(path)
    line = f"{digest}  {printable(path.resolve())}"
    check = _hash_of_text(f"{key}\n{line}")
    with contextlib.suppress(OSError):  # a full disk costs the next run a minute, not this one its life
        paths.make_private(memory.parent)
        paths.write_atomic(memory, f"{line}\n{check}\n")
    return digest


def _hash_of_text(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def free_space(folder: Path) -> int:
    """Bytes that can still be written in ``folder`` or, before it exists, where it will be."""
    while not folder.exists():
        folder = folder.parent
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
