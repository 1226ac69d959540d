"""What a run takes of its device, measured before its first step; nothing that learns is changed by it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil
import torch

from dbtui.core.architecture import Architecture
from dbtui.core.config import Config
from dbtui.core.memory import CONTEXT, FRAGMENTATION, Memory
from dbtui.engine.examples import Batch
from dbtui.engine.learner import Learner
from dbtui.engine.machine import unused_memory

STEP = 4 / 3
"""How long a step takes, as a multiple of its passes: what the optimizer does cannot be tried without doing it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Bytes that the run needs at its worst moment, and that the device has for it; about the seconds of a step."""

    memory: int
    free: int
    seconds: float | None = None

    @property
    def fits(self) -> bool:
        return self.memory <= self.free


def probe(learner: Learner, batches: list[Batch], config: Config, architecture: Architecture) -> Probe:
    """Compute the passes of a step on a GPU and see what they took; elsewhere, count.

    ``config`` is what is carried out, without auto. Raises torch.OutOfMemoryError.
    """
    device = learner.accelerator.device.type
    counted = Memory(config, architecture, device)
    phases = {phase: sum(parts.values()) for phase, parts in counted.phases().items()}
    if device != "cuda":
        return Probe(round(max(phases.values())), free_memory(device))
    torch.cuda.reset_peak_memory_stats()
    learner.rehearse(batches)
    torch.cuda.synchronize()
    began = time.monotonic()
    learner.rehearse(batches)
    torch.cuda.synchronize()
    seconds = STEP * (time.monotonic() - began)
    # A CUDA graph's memory is its own for good; otherwise it is the tensors that count, not what was kept for more.
    if counted.graph:
        torch.cuda.empty_cache()
        peak = float(torch.cuda.memory_reserved())
    else:
        peak = torch.cuda.max_memory_allocated() * (1 + FRAGMENTATION[device])
        if not learner.settled:
            peak += counted.resident()["optimizer"]  # which comes with the first step
    # What samples need more than the training is counted.
    more = max(phases.values()) - phases["training"]
    return Probe(round(peak + CONTEXT[device] + more), free_memory(device), seconds)


def has_plenty(device: str) -> bool:
    """Whether a GPU has as much left as this process has ever used of it."""
    return device == "cuda" and unused_memory() >= torch.cuda.max_memory_allocated()


def free_memory(device: str) -> int:
    """Bytes that this process has or could have, its driver or program included."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() + CONTEXT[device]
    return psutil.virtual_memory().available + psutil.Process().memory_info().rss
