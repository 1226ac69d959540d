"""Randomness without state: every draw is a function of (seed, purpose, counter).

So a run that is killed and resumed draws what it would have drawn, and how examples are
split into batches, accumulation steps or processes changes none of them.
"""

from __future__ import annotations

import functools
import hashlib

import torch


def mix(seed: int, purpose: str, *counter: int) -> int:
    """A 63-bit seed for one draw."""
    text = "/".join((str(seed), purpose, *map(str, counter)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, purpose: str, *counter: int) -> torch.Generator:
    """A generator on the CPU, so that every device gets the same numbers."""
    return torch.Generator().manual_seed(mix(seed, purpose, *counter))


def normal(shape: tuple[int, ...], seed: int, purpose: str, *counter: int) -> torch.Tensor:
    """Standard normal numbers of ``shape``, fp32, on the CPU."""
    return torch.randn(shape, generator=generator(seed, purpose, *counter))


def integer(below: int, seed: int, purpose: str, *counter: int) -> int:
    """A whole number from 0 to ``below`` - 1."""
    return int(torch.randint(below, (), generator=generator(seed, purpose, *counter)))


@functools.lru_cache(maxsize=8)
def _order(count: int, seed: int, purpose: str, epoch: int) -> tuple[int, ...]:
    return tuple(torch.randperm(count, generator=generator(seed, purpose, epoch)).tolist())


def pick(position: int, count: int, seed: int, purpose: str) -> int:
    """Which of ``count`` pictures the example at ``position`` is: each once an epoch, in a new order."""
    epoch, index = divmod(position, count)
    return _order(count, seed, purpose, epoch)[index]
