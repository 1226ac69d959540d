"""The gradients of several processes added up, while the rest of the backward pass still goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import torch.distributed as dist
from torch import Tensor, nn

from dbtui.engine.gradient_hook import on_gradient
from dbtui.engine.ranks import Ranks
from dbtui.engine.split_weights import flat

BUCKET = 256 * 2**20
"""Bytes: enough to use the links well, and little to wait for at the end."""


class GradientSum:
    """Adds up the gradients of ``parameters``, which each process has in the same order, over ``ranks``.

    They are sent in the order in which an earlier backward pass gave them: that of the modules has parts of a UNet
    first that come last, and all the others would wait for those.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], ranks: Ranks, size: int = BUCKET) -> None:
        """``size``: bytes of gradients that are sent together."""
        self._parameters, self._ranks, self._size = parameters, ranks, size
        self._order: dict[int, None] = {}
        self._buckets: list[list[nn.Parameter]] = []
        self._bucket_of: dict[Tensor, int] = {}
        self._missing: list[int] = []
        self._under_way: list[dist.Work] | None = None
        for index, parameter in enumerate(parameters):
            on_gradient(parameter, self._arrived, index)

    @contextlib.contextmanager
    def of_backward(self) -> Iterator[None]:
        """After the block, in which one backward pass is done, each gradient is the sum of all processes'.

        One outside of the block comes before it, and shows the order. Raises RuntimeError if a parameter gets no
        gradient: the sums would never come.
        """
        if not self._buckets:
            self._fill_buckets()
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

    def _fill_buckets(self) -> None:
        """All processes in the leading one's order: what does not belong together must never be added."""
        order = self._ranks.as_leader(list(self._order))
        if len(order) < len(self._parameters):
            raise RuntimeError("a weight that learns has no gradient")
        self._buckets = list(buckets((self._parameters[index] for index in order), self._size))
        self._bucket_of = {weight: number for number, bucket in enumerate(self._buckets) for weight in bucket}

    def _arrived(self, index: int, parameter: Tensor) -> None:
        """The gradient of ``parameter``, number ``index``, is there. All processes send the buckets in the same order."""
        if self._under_way is None:
            self._order.setdefault(index)
            return
        self._missing[self._bucket_of[parameter]] -= 1
        while (number := len(self._under_way)) < len(self._buckets) and not self._missing[number]:
            gradients = [flat(parameter.grad) for parameter in self._buckets[number] if parameter.grad is not None]
            self._under_way.append(self._ranks.add_up(gradients))


def buckets(parameters: Iterable[nn.Parameter], size: int) -> Iterator[list[nn.Parameter]]:
    """``parameters`` in parts of at least ``size`` bytes; the last may have less."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        bucket.append(parameter)
        if sum(p.numel() * p.element_size() for p in bucket) >= size:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
