"""AdamW in the least GPU memory: 8-bit moments there, gradients in the machine's own memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from bitsandbytes import functional
from torch import Tensor, nn

from dbtui.engine.gradient_hook import on_gradient
from dbtui.engine.optimizer_state import LEAN, FormError, form_of
from dbtui.engine.split_weights import SplitWeights, dense, flat, join, split

BLOCK = 256
"""Elements that share a scale, as bitsandbytes has it."""

SMALLEST = 4096
"""Elements; the moments of smaller tensors stay in 32 bit, which costs nothing and is exact."""

CHUNK = 2**22
"""Elements that are updated at once, in 32 bit."""


class EightBitAdamW(SplitWeights):
    """AdamW (arXiv 1711.05101) with block-wise 8-bit moments (arXiv 2110.02861), on bf16 weights and fp32 masters.

    A gradient leaves for the machine's memory the moment that the backward pass has it, and comes back
    for the update: the whole of it, whose length is to be cut, is never on the device.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], masters: Iterable[Tensor], shares: Sequence[float],
        decay: float, max_norm: float,
    ) -> None:  # fmt: skip
        """``masters`` are the fp32 weights, on any device, ``shares`` the parameters' learning rates as multiples of
        the rate; ``max_norm`` 0 never cuts.
        """
        super().__init__(parameters, masters)
        self._shares, self._decay, self._max_norm = list(shares), decay, max_norm or math.inf
        self._device = self.parameters[0].device
        self._moments = [_Moments.like(p) for p in self.parameters]
        self._codes = [functional.create_dynamic_map(signed).to(self._device) for signed in (True, False)]
        self._gradients = torch.zeros(self._places[-1], dtype=torch.bfloat16, pin_memory=self._device.type == "cuda")
        self._squares = torch.zeros(len(self.parameters), device=self._device)
        self._arrived: set[int] = set()
        self._steps = 0
        self.rate = 0.0
        for index, parameter in enumerate(self.parameters):
            on_gradient(parameter, self._put_away, index)

    @torch.no_grad()
    def _put_away(self, index: int, parameter: Tensor) -> None:
        """Add a parameter's gradient to what is in the machine's memory, and free it here."""
        assert parameter.grad is not None
        gradient, kept = flat(dense(parameter.grad)), self._part(self._gradients, index)
        if index in self._arrived:  # of an earlier batch of this step
            gradient = gradient + kept.to(self._device, non_blocking=True)
        self._arrived.add(index)
        self._squares[index] = _squares(gradient)
        kept.copy_(gradient, non_blocking=True)
        parameter.grad = None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self._arrived.clear()

    def norm(self) -> Tensor:
        """Length of the gradient, before it is cut."""
        return self._squares.sum().sqrt()

    @torch.no_grad()
    def step(self) -> None:
        """One step on the gradients that have arrived."""
        self._steps += 1
        scale = min(1.0, self._max_norm / (float(self.norm()) + 1e-6))
        for index, parameter in enumerate(self.parameters):
            weights, lows, gradients = (
                flat(parameter.detach()),
                self._part(self.lows, index),
                self._part(self._gradients, index),
            )
            for start in range(0, weights.numel(), CHUNK):
                part = slice(start, min(start + CHUNK, weights.numel()))
                gradient = gradients[part].to(self._device, non_blocking=True).float().mul_(scale)
                master = join(weights[part], lows[part])
                self._moments[index].update(
                    master, gradient, part, self._codes, self._steps, self.rate * self._shares[index], self._decay
                )
                split(master, weights[part], lows[part])

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs beside the masters."""
        return {"moments": [m.tensors for m in self._moments], "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` gave. Raises KeyError, ValueError or RuntimeError if it does not fit."""
        if (form := form_of(state)) != LEAN:
            if form:
                raise FormError(form, LEAN)
            return  # nothing was learned yet
        for moments, kept in zip(self._moments, state["moments"], strict=True):
            for tensor, values in zip(moments.tensors, kept, strict=True):
                tensor.copy_(values)
        self._steps = state["steps"]


class _Moments:
    """Both moments of one tensor: first and second, and if they have 8 bits the scales of each one's blocks."""

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = tensors

    @classmethod
    def like(cls, parameter: nn.Parameter) -> _Moments:
        count, device = parameter.numel(), parameter.device
        kind = torch.float32 if count < SMALLEST else torch.uint8
        moments = [torch.zeros(count, dtype=kind, device=device) for _ in range(2)]
        scales = [torch.zeros(math.ceil(count / BLOCK), device=device) for _ in range(0 if count < SMALLEST else 2)]
        return cls(moments + scales)

    def update(
        self, weights: Tensor, gradient: Tensor, part: slice, codes: list[Tensor], steps: int, rate: float, decay: float,
        beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
    ) -> None:  # fmt: skip
        """Change ``weights``, fp32, which are that part of the tensor. Parts begin with a block."""
        first, second = (moment[part] for moment in self.tensors[:2])
        if first.dtype == torch.uint8:
            blocks = slice(part.start // BLOCK, math.ceil(part.stop / BLOCK))
            scales = [scale[blocks] for scale in self.tensors[2:]]
            functional.optimizer_update_8bit_blockwise(
                "adam", gradient, weights, first, second, beta1, beta2, 0.0, 0.0, epsilon, steps, rate,
                codes[0], codes[1], scales[0], scales[1], decay,
            )  # fmt: skip
            return
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        weights.mul_(1 - rate * decay)
        root = (second / (1 - beta2**steps)).sqrt_().add_(epsilon)
        weights.addcdiv_(first, root, value=-rate / (1 - beta1**steps))


def _squares(gradient: Tensor) -> Tensor:
    """The sum of squares in 32 bit, without a 32-bit copy of the whole."""
    return torch.stack([part.float().square().sum() for part in gradient.split(CHUNK)]).sum()
