"""Headers of safetensors files, read without torch: names, shapes, and whether the file is whole."""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from pathlib import Path
from typing import Any

from dbtui.core import paths
from dbtui.core.errors import DbtuiError, printable

LONGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""

BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
         "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8}  # fmt: skip


def read_header(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensors of a safetensors file: name to (type, shape).

    Raises DbtuiError if the file is cut short or its header cannot be true; allocates
    nothing but the header.
    """
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(LONGEST_HEADER, size - 8):
                raise ValueError("its header is longer than the file")
            header: dict[str, Any] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        tensors, spans = {}, []
        for name, entry in header.items():
            kind, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            if kind not in BYTES or any(not isinstance(n, int) or n < 0 for n in (*shape, start, stop)):
                raise ValueError(f"the entry of {name} makes no sense")
            if stop - start != math.prod(shape) * BYTES[kind]:
                raise ValueError(f"{name} does not have the bytes its shape needs")
            tensors[name] = (kind, shape)
            spans.append((start, stop))
        end = 0
        for start, stop in sorted(spans):
            if start != end:
                raise ValueError("its tensors overlap or leave gaps")
            end = stop
        if size != 8 + length + end:
            raise ValueError(f"it has {size:,} bytes and should have {8 + length + end:,}")
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DbtuiError(
            "A weights file is damaged or cut short",
            f"{printable(path)}: {printable(error) or 'no header'}. Nothing was loaded.",
            "Download or copy the file again.",
        ) from error
    return tensors


def sha256(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """As sha256, remembered by path, size and time, since base models have gigabytes."""
    status = path.stat()
    key = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    memory = paths.cache_dir() / "hashes" / hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
    if memory.is_file():
        known = memory.read_text(encoding="ascii", errors="replace")
        if len(known) == 64 and set(known) <= set("0123456789abcdef"):
            return known
    digest = sha256(path)
    paths.make_private(memory.parent)
    paths.write_atomic(memory, digest)
    return digest


def free_space(folder: Path) -> int:
    """Bytes that can still be written in ``folder`` or, before it exists, where it will be."""
    while not folder.exists():
        folder = folder.parent
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
