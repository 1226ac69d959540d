"""Training by the clock: how far a stage is, its learning rate, and the average of its weights."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn


def until(minutes: float, steps: int = 0, begun: float = 0.0) -> Iterator[float]:
    """How much of ``minutes``, or of ``steps`` if those are given, has passed, from ``begun`` to below 1.

    The clock starts after the first step, which compiles.
    """
    if steps:
        yield from (step / steps for step in range(round(begun * steps), steps))
        return
    yield begun
    start = time.monotonic()
    while (passed := begun + (time.monotonic() - start) / 60 / minutes) < 1:
        yield passed


def rate_at(rate: float, progress: float, step: int, warmup: int) -> float:
    """A linear warm-up of ``warmup`` steps times a cosine that falls to nothing as ``progress`` goes to 1."""
    return rate * min(1.0, (step + 1) / warmup) * (0.5 + 0.5 * math.cos(math.pi * progress))


class Average:
    """An exponential moving average of parameters, which forgets faster at the start."""

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float = 0.999) -> None:
        self.parameters, self.decay, self.steps = list(parameters), decay, 0
        self.values: list[Tensor] = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take the parameters' values in."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Put the average where the parameters are and keep those; a second time takes that back."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)
