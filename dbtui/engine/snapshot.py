"""The learner's state set aside, so that it can be written while the training goes on.

It is copied where there is room: on the GPU, which takes milliseconds, else in the machine's memory, which the GPU
reaches at the speed of the bus. It takes as much as a checkpoint's files, until they are written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor

from dbtui.core.budget import place_of_copy
from dbtui.engine.learner import Learner
from dbtui.engine.machine import unused_memory

ALIGNMENT = 256
"""Bytes; where each tensor begins."""


@dataclass(slots=True)
class Snapshot:
    """Weights by component and the rest of the state, which no later step changes; ``ready`` once a GPU has come to them."""

    weights: dict[str, dict[str, Tensor]]
    state: dict[str, Any]
    ready: torch.cuda.Event | None = None
    memory: Memory | None = None
    """What holds the copies; None if they are the learner's own, which must not learn until they are written."""


class Memory:
    """Bytes in one piece, in which tensors are laid out one after another."""

    def __init__(self, size: int, device: torch.device, pinned: bool) -> None:
        """Raises torch.OutOfMemoryError. ``pinned``: a GPU copies into it by itself."""
        self.bytes = torch.empty(size, dtype=torch.uint8, device=device)
        self._used = 0
        if pinned:  # torch's own pinned memory comes in powers of two; what the driver refuses is only slower
            torch.cuda.cudart().cudaHostRegister(self.bytes.data_ptr(), size, 0)  # type: ignore[attr-defined]

    def clear(self) -> None:
        self._used = 0

    def keep(self, tensor: Tensor) -> Tensor:
        """A copy of ``tensor``; where the memory is a GPU's and the tensor is not, beside it."""
        if tensor.device.type == "cpu" and self.bytes.device.type != "cpu":
            return tensor.clone()
        start, self._used = self._used, self._used + _aligned(tensor.nbytes)
        # A storage of its own: torch writes the whole storage of each tensor into a file.
        storage = self.bytes.untyped_storage()[start : start + tensor.nbytes]
        part = torch.empty(0, dtype=tensor.dtype, device=self.bytes.device).set_(storage, 0, tensor.shape)
        return part.copy_(tensor, non_blocking=True)


class Photographer:
    """Takes snapshots of one learner, one at a time; memory that is slow to get is kept for the next."""

    def __init__(self) -> None:
        self._kept: Memory | None = None

    def take(self, learner: Learner) -> Snapshot:
        """The state as it is now, in memory of its own if there is any."""
        size = state_bytes(learner)
        memory = self._kept if self._kept is not None and len(self._kept.bytes) >= size else _find(learner, size)
        if memory is None:
            return Snapshot(learner.weights(), learner.state())
        memory.clear()
        self._kept = memory if learner.accelerator.device.type == "cuda" and memory.bytes.device.type == "cpu" else None
        taken = Snapshot(learner.weights(memory.keep), _copied(learner.state(), memory.keep), memory=memory)
        if learner.accelerator.device.type == "cuda":
            taken.ready = torch.cuda.Event()
            taken.ready.record()
        return taken


def state_bytes(learner: Learner) -> int:
    """What a snapshot of ``learner`` takes."""
    total = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        total += _aligned(tensor.nbytes)
        return tensor

    learner.weights(count)
    _copied(learner.state(), count)
    return total


def _find(learner: Learner, size: int) -> Memory | None:
    """Memory for ``size`` bytes, where it is nearest; None if there is nowhere room."""
    device, free = learner.accelerator.device, 0
    if device.type == "cuda":
        free = unused_memory()
    available = psutil.virtual_memory().available
    place = place_of_copy(size, free, available)
    if place == "gpu":
        with contextlib.suppress(torch.OutOfMemoryError):  # what is reserved may lie in pieces
            return Memory(size, device, pinned=False)
        place = place_of_copy(size, 0, available)
    return Memory(size, torch.device("cpu"), pinned=device.type == "cuda") if place else None


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _copied(value: Any, keep: Callable[[Tensor], Tensor]) -> Any:
    """``value`` with each tensor in it as ``keep`` gives it."""
    if isinstance(value, Tensor):
        return keep(value)
    if isinstance(value, dict):
        return {key: _copied(item, keep) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(item, keep) for item in value)
    return value
