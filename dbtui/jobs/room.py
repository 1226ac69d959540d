"""Where a trainer started from here would work, and the memory it would find there. Without torch."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import metadata

import psutil

from dbtui.core.rates import cpu_name
from dbtui.jobs.gpus import gpus


@dataclass(frozen=True, slots=True)
class Room:
    """``device`` is cuda, mps or cpu. Bytes of memory; ``free`` is what other programs leave."""

    device: str
    name: str
    total: int
    free: int
    half: str = "bf16"
    """The 16-bit numbers that the device is good at: bf16 or fp16."""


def find_room(processes: int = 1) -> Room:
    """The room of the process that has least."""
    memory = psutil.virtual_memory()
    if _torch_uses_gpus():
        told = [gpu for gpu in gpus()[:processes] if gpu.total]
        if told:
            least = min(told, key=lambda gpu: gpu.free)
            old = least.capability is not None and tuple(least.capability) < (8, 0)
            return Room("cuda", least.name, least.total, least.free, "fp16" if old else "bf16")
    if sys.platform == "darwin" and platform.machine() == "arm64" and processes == 1:
        return Room("mps", "this machine", memory.total, memory.available)
    return Room("cpu", cpu_name(), memory.total // processes, memory.available // processes)


def _torch_uses_gpus() -> bool:
    """False for the builds of torch that are for the CPU alone; their version says so."""
    try:
        return not metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return False
