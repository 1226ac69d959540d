"""Files that ``torch.save`` writes (.ckpt), read without torch and without unpickling: where each tensor lies.

Such a file is a zip archive of ``data.pkl``, a pickle that describes the objects, and one entry for each
storage, whose bytes lie there as they are in memory. The pickle is read as data (``core.pickled``); what
tensors it describes is checked against the archive before any is read.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbtui.core.errors import DbtuiError, printable
from dbtui.core.pickled import CodeError, DamagedError, Made, Persistent, Symbol, read_pickle
from dbtui.core.weights import BYTES, LARGEST

LARGEST_PICKLE = 16 << 20
"""Bytes. It holds names and shapes, no weights: of Stable Diffusion, half a megabyte."""

MAGIC = b"PK\x03\x04"

STORAGES = {
    "torch.BFloat16Storage": "BF16",
    "torch.BoolStorage": "BOOL",
    "torch.ByteStorage": "U8",
    "torch.CharStorage": "I8",
    "torch.DoubleStorage": "F64",
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.IntStorage": "I32",
    "torch.LongStorage": "I64",
    "torch.ShortStorage": "I16",
}
"""Storage types, and the names that safetensors has for what is in them."""

REBUILDERS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
"""Called with (storage, offset, shape, strides, ...)."""

WRAPPERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
"""Called with (tensor, ...)."""


ODDITIES = (ValueError, LookupError, TypeError, OSError, struct.error, NotImplementedError, EOFError)
"""What comes of values that are not of the kind that they should be, and of places outside of the file."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in a file: its type, its shape, its strides in elements, and where its first byte is."""

    kind: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: int


def is_torch_file(path: Path) -> bool:
    """Whether the file begins as an archive does. Raises OSError."""
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_torch_file(path: Path) -> dict[str, Stored]:
    """The tensors by name, out of ``state_dict`` where there is one. Nothing in the file is run.

    Raises DbtuiError if the file asks for code to be run, is damaged, or is not one of torch's.
    """
    try:
        with open(path, "rb", buffering=0) as raw, zipfile.ZipFile(_Careful(raw)) as archive:
            return _Archive(archive, path.stat().st_size).tensors()
    except CodeError as error:
        raise DbtuiError(
            "This file asks to run code",
            f"{printable(path)} wants to call {printable(str(error)[:100])}, which no model needs. "
            "It was not called, and nothing was loaded.",
            "Do not open the file with other programs. Get the model as a .safetensors file, which cannot run code.",
        ) from error
    except (DamagedError, zipfile.BadZipFile, *ODDITIES) as error:
        told = isinstance(error, DamagedError | zipfile.BadZipFile)
        why = printable(str(error)[:200]) if told else "what it says of its tensors makes no sense"
        raise DbtuiError(
            "A weights file is damaged or cut short",
            f"{printable(path)}: {why}. Nothing was loaded.",
            "Download or copy the file again.",
        ) from error


class _Careful(io.BufferedReader):
    """A file that reads no more at once than a pickle may have, whatever lengths the archive claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > LARGEST_PICKLE:
            raise DamagedError("a part of it claims to be larger than it can be")
        return super().read(size)


class _Archive:
    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive, self._size = archive, size
        self._entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in self._entries if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1 or len(self._entries) != len(archive.infolist()):
            raise DamagedError("it is not an archive that torch wrote")
        self._root = pickles[0].removesuffix("data.pkl")
        order = self._root + "byteorder"
        if order in self._entries and self._read(order) != b"little":
            raise DamagedError("its numbers are in the byte order of another kind of machine")

    def tensors(self) -> dict[str, Stored]:
        top = _mapping(read_pickle(self._read(f"{self._root}data.pkl")))
        found = self._tensors_in(_mapping(top.get("state_dict")) or top)
        if not found:  # what is no model may have them a level deeper, as an embedding does; its names say what it is
            for name, value in top.items():
                deeper = self._tensors_in(_mapping(value))
                found |= {f"{name}.{inner}": tensor for inner, tensor in deeper.items()}
        # Tensors may share what is stored, but not so that they need far more memory than the file has bytes.
        if sum(math.prod(tensor.shape) * BYTES[tensor.kind] for tensor in found.values()) > 2 * self._size:
            raise DamagedError("its tensors are larger than the file")
        return found

    def _tensors_in(self, values: dict[Any, Any]) -> dict[str, Stored]:
        return {
            name: tensor for name, value in values.items() if isinstance(name, str) and (tensor := self._tensor(value))
        }

    def _tensor(self, value: object) -> Stored | None:
        """The tensor that ``value`` describes, if it does. Raises DamagedError if its storage cannot hold it."""
        while isinstance(value, Made) and value.function in WRAPPERS:
            value = value.args[0]
        if not isinstance(value, Made) or value.function not in REBUILDERS:
            return None
        storage, offset, shape, strides, *_ = value.args
        if not isinstance(storage, Persistent):
            raise DamagedError("a tensor has no storage")
        return self._stored(storage.key, offset, shape, strides)

    def _stored(self, key: Any, offset: Any, shape: Any, strides: Any) -> Stored | None:
        word, kind, number, _, count, *_ = key
        if word != "storage" or not isinstance(kind, Symbol) or not isinstance(number, str):
            raise DamagedError("a tensor has no storage")
        if kind.name not in STORAGES:
            return None
        sizes = (offset, count, *shape, *strides)
        if any(type(n) is not int or not 0 <= n < LARGEST for n in sizes) or not len(shape) == len(strides) <= 8:
            raise DamagedError("a tensor's shape makes no sense")
        # Within its storage, and no value counted twice: so it can never need more memory than the file has bytes.
        last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        if math.prod(shape) > count or (math.prod(shape) and last >= count):
            raise DamagedError("a tensor is larger than its storage")
        width = BYTES[STORAGES[kind.name]]
        start = self._span(f"{self._root}data/{number}", count * width)
        return Stored(STORAGES[kind.name], tuple(shape), tuple(strides), start + offset * width)

    def _span(self, name: str, size: int) -> int:
        """Where the ``size`` bytes of an entry begin in the file."""
        entry = self._entries.get(name)
        if entry is None or _is_packed(entry):
            raise DamagedError("a storage is missing or packed")
        if entry.file_size != size:
            raise DamagedError(f"a storage has {entry.file_size:,} bytes and should have {size:,}")
        assert self._archive.fp is not None
        self._archive.fp.seek(entry.header_offset)
        header = self._archive.fp.read(30)
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        start = entry.header_offset + 30 + name_length + extra_length
        if not header.startswith(MAGIC) or start + size > self._size:
            raise DamagedError("a storage lies outside the file")
        return start

    def _read(self, name: str) -> bytes:
        entry = self._entries[name]
        if _is_packed(entry) or entry.file_size > LARGEST_PICKLE:
            raise DamagedError(f"{name} is packed, or larger than that of any model")
        return self._archive.read(entry)


def _is_packed(entry: zipfile.ZipInfo) -> bool:
    """Compressed or encrypted, which torch never does: a small file could claim to be a huge one."""
    encrypted = entry.flag_bits & 1
    return bool(encrypted) or entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size


def _mapping(value: object) -> dict[Any, Any]:
    """The entries of a dict, or of what would become one; none of anything else."""
    if isinstance(value, Made):
        return value.items
    return value if isinstance(value, dict) else {}
