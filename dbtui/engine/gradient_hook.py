"""What is to happen once a parameter's gradient has come."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from torch import Tensor, nn


def on_gradient(parameter: nn.Parameter, act: Callable[[int, Tensor], None], index: int) -> None:
    """Have the method ``act`` called with ``index`` and ``parameter``, as long as its object lives.

    A hook lives as long as its parameter, where the garbage collector does not see it: if it held the object that
    holds the parameter, neither would ever be freed.
    """
    method = weakref.WeakMethod(act)

    def call(arrived: Tensor) -> None:
        if (living := method()) is not None:
            living(index, arrived)

    parameter.register_post_accumulate_grad_hook(call)
