"""The gradients of several processes added up, while the rest of the backward pass still goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

import torch.distributed as dist
from torch import Tensor, nn

from dbtui.engine.ranks import Ranks
from dbtui.engine.split_weights import flat

BUCKET = 64 * 2**20
"""Bytes: enough to use the links well, and little to wait for at the end."""


class GradientSum:
    """Adds up the gradients of ``parameters``, which each process has in the same order, over ``ranks``."""

    def __init__(self, parameters: Sequence[nn.Parameter], ranks: Ranks, size: int = BUCKET) -> None:
        """``size``: bytes of gradients that are sent together."""
        self._ranks = ranks
        self._buckets = list(buckets(parameters, size))
        self._missing = [0] * len(self._buckets)
        self._under_way: list[dist.Work] | None = None
        for index, bucket in enumerate(self._buckets):
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(partial(self._arrived, index))

    @contextlib.contextmanager
    def of_backward(self) -> Iterator[None]:
        """After the block, in which one backward pass is done, each gradient is the sum of all processes'.

        Raises RuntimeError if a parameter has got none: the sums would never come.
        """
        self._missing = [len(bucket) for bucket in self._buckets]
        self._under_way = []
        try:
            yield
            if len(self._under_way) < len(self._buckets):
                raise RuntimeError("a weight that learns has no gradient")
            for work in self._under_way:
                work.wait()
        finally:
            self._under_way = None

    def _arrived(self, index: int, _: Tensor) -> None:
        """A gradient of bucket ``index`` is there. All processes send the buckets in the same order."""
        if self._under_way is None:
            return
        self._missing[index] -= 1
        while (number := len(self._under_way)) < len(self._buckets) and not self._missing[number]:
            gradients = [flat(parameter.grad) for parameter in self._buckets[number] if parameter.grad is not None]
            self._under_way.append(self._ranks.add_up(gradients))


def buckets(parameters: Sequence[nn.Parameter], size: int) -> Iterator[list[nn.Parameter]]:
    """``parameters`` in parts of at least ``size`` bytes, the last ones first: so a backward pass comes to them."""
    bucket: list[nn.Parameter] = []
    for parameter in reversed(parameters):
        bucket.append(parameter)
        if sum(p.numel() * p.element_size() for p in bucket) >= size:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
