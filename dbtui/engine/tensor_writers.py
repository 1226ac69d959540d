"""Tensors into files, one after another: never a second copy of a model in memory, and progress on the way."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dbtui.core.recipe import CONTENT_HASH
from dbtui.engine.hashed_file import HashedFile

DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
"""What safetensors calls them."""

Progress = Callable[[int], None]
"""Called with the bytes written so far."""


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], texts: Mapping[str, str], progress: Progress) -> None:
    """Write ``tensors`` on the CPU, with ``texts`` and the hash of the content in the header. Raises OSError.

    The header is written last, when the hash is known, into the room that it was given at the start.
    """
    room = _header(tensors, {**texts, CONTENT_HASH: _hash_text(hashlib.sha256())})
    digest = hashlib.sha256()
    with open(path, "xb") as file:
        file.seek(len(room))
        for tensor in tensors.values():
            data = bytes_of(tensor)
            digest.update(data)
            file.write(data)
            progress(file.tell())
        file.seek(0)
        file.write(_header(tensors, {**texts, CONTENT_HASH: _hash_text(digest)}))


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write ``tensors``, wherever they are, and return the sha256 of the file. Raises OSError."""
    with HashedFile(path) as file:
        file.write(_header(tensors, {"format": "pt"}))
        for tensor in tensors.values():
            file.write(bytes_of(_fetched(tensor)))
    return file.sha256


def write_state(path: Path, state: Mapping[str, Any]) -> str:
    """As ``write_weights``, in torch's format, for tensors and plain values in dictionaries and lists."""
    with HashedFile(path) as file:
        try:
            torch.save(state, file)
        except RuntimeError:
            if file.error is not None:
                raise file.error from None
            raise
    return file.sha256


def _fetched(tensor: Tensor) -> Tensor:
    """``tensor`` on the CPU, through memory that a GPU copies into at full speed."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor)


def write_ckpt(path: Path, tensors: Mapping[str, Tensor], texts: Mapping[str, str], progress: Progress) -> None:
    """Write ``tensors`` as ``state_dict`` in torch's format, with ``texts`` under ``dbtui``. Raises OSError.

    ``torch.load`` reads it with ``weights_only=True``: there is nothing in it but tensors and texts.
    """
    with open(path, "xb") as file:
        told = _Told(file.write, progress)
        try:
            torch.save({"state_dict": dict(tensors), "dbtui": dict(texts)}, told)
        except RuntimeError:
            if told.error is not None:  # which torch does not pass on
                raise told.error from None
            raise


def bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a tensor on the CPU, row by row as files have them; no copy if it lies so in memory."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data


class _Told:
    """A file that tells how much was written, and keeps what went wrong with it."""

    def __init__(self, write: Callable[[bytes], int], progress: Progress) -> None:
        self._write, self._progress, self._done = write, progress, 0
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            written = self._write(data)
        except BaseException as error:
            self.error = self.error or error
            raise
        self._done += written
        self._progress(self._done)
        return written

    def flush(self) -> None:
        """Nothing waits here; torch asks for it."""


def _header(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> bytes:
    """The length and the header, padded so that the tensors begin at a multiple of eight."""
    entries: dict[str, object] = {"__metadata__": dict(texts)}
    start = 0
    for name, tensor in tensors.items():
        stop = start + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, stop]}
        start = stop
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header


def _hash_text(digest: hashlib._Hash) -> str:
    return f"0x{digest.hexdigest()}"
