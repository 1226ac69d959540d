"""Weights files of both formats, opened: their tensors, one at a time, as views of the file."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from dbtui.core.torch_file import Stored, is_torch_file, read_torch_file
from dbtui.core.weights import read_header

TYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32,
    "I64": torch.int64, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorFile:
    """``shapes`` of all tensors by name; ``read`` gives one, a view that is good only while the file is open."""

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], Tensor]


@contextlib.contextmanager
def open_tensors(path: Path) -> Iterator[TensorFile]:
    """Open a .safetensors file or one of ``torch.save``, of which nothing is unpickled. Raises DbtuiError, OSError."""
    if is_torch_file(path):
        tensors = read_torch_file(path)
        # A private copy of the pages: torch wants memory that it could write to.
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as memory:
            shapes = {name: tensor.shape for name, tensor in tensors.items()}
            yield TensorFile(shapes, lambda name: _view(memory, tensors[name]))
    else:
        shapes = {name: shape for name, (_, shape) in read_header(path).items()}
        with safe_open(path, framework="pt") as file:
            yield TensorFile(shapes, file.get_tensor)


def _view(memory: mmap.mmap, tensor: Stored) -> Tensor:
    kind = TYPES[tensor.kind]
    if 0 in tensor.shape:
        return torch.empty(tensor.shape, dtype=kind)
    count = 1 + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    flat = torch.frombuffer(memory, dtype=kind, count=count, offset=tensor.start)
    return flat.as_strided(tensor.shape, tensor.strides)
