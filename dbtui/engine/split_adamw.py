"""AdamW for bf16 weights that loses nothing: the optimizer of the fast path on a GPU."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dbtui.engine.kernels.adamw import CHUNK, _adamw, _squares
from dbtui.engine.optimizer_state import as_split
from dbtui.engine.split_weights import SplitWeights, dense


class SplitAdamW(SplitWeights):
    """AdamW on weights in bf16 and their fp32 masters.

    Nothing here waits for the device: rates, norm and step count are tensors there, so that
    ``step`` can be captured in a CUDA graph. A gradient that is not finite changes nothing, and neither
    does any step after it until ``pardon``: whoever reads the norm a step late still finds the weights sound.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], masters: Iterable[Tensor], shares: Sequence[float],
        decay: float, max_norm: float,
    ) -> None:  # fmt: skip
        """``masters`` are the fp32 weights, on any device, ``shares`` the parameters' learning rates as multiples of
        the rate; ``max_norm`` 0 never cuts.
        """
        super().__init__(parameters, masters)
        self._decay, self._max_norm = decay, max_norm or math.inf
        device = self.parameters[0].device
        rows = [
            (index, start, min(CHUNK, p.numel() - start))
            for index, p in enumerate(self.parameters)
            for start in range(0, p.numel(), CHUNK)
        ]
        self._owners = torch.tensor([index for index, _, _ in rows])
        self._starts = torch.tensor([start for _, start, _ in rows], device=device)
        self._lengths = torch.tensor([length for _, _, length in rows], dtype=torch.int32, device=device)
        self._state_places = torch.tensor([self._places[i] + start for i, start, _ in rows], device=device)
        self._weights = self._addresses(self.parameters)
        self._gradients = torch.zeros_like(self._weights)
        self._shares = torch.tensor(list(shares), device=device)[self._owners.to(device)]
        self._rates = torch.zeros_like(self._shares)
        self._partial = torch.zeros(len(rows), device=device)
        self._steps = torch.zeros((), device=device)
        self.norm = torch.zeros((), device=device)
        """Length of the last gradient, before it was cut."""
        self._sound = torch.ones((), dtype=torch.bool, device=device)
        self.first = torch.zeros(self._places[-1], device=device)
        self.second = torch.zeros(self._places[-1], device=device)

    def _addresses(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.tensor([t.data_ptr() for t in tensors])[self._owners].to(tensors[0].device)

    def bind(self) -> None:
        """Take the gradients that the parameters have now as the ones to read in every step."""
        for p in self.parameters:
            if p.grad is None or p.grad.dtype != p.dtype or dense(p.grad).data_ptr() != p.grad.data_ptr():
                raise ValueError("a gradient is missing or not laid out as its weight")
        self._gradients.copy_(self._addresses([p.grad for p in self.parameters]))  # type: ignore[misc]

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next steps."""
        torch.mul(self._shares, rate, out=self._rates)

    def step(self, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> None:
        """One step on the bound gradients."""
        grid = (len(self._owners),)
        _squares[grid](self._gradients, self._starts, self._lengths, self._partial, CHUNK)
        self.norm.copy_(self._partial.sum().sqrt())
        self._sound &= self.norm.isfinite()
        scale = torch.where(self._sound, (self._max_norm / (self.norm + 1e-6)).clamp(max=1.0), 0.0)
        self._steps += self._sound
        _adamw[grid](
            self._weights, self._gradients, self._starts, self._lengths, self._state_places, self.lows, self.first,
            self.second, self._rates, scale, 1 - beta1**self._steps, 1 - beta2**self._steps,
            beta1, beta2, epsilon, self._decay, CHUNK,
        )  # fmt: skip

    def pardon(self) -> None:
        """Let steps change weights again after a gradient that was not finite."""
        self._sound.fill_(True)

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs beside the masters."""
        return {"first": self.first, "second": self.second, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` gave, or torch's AdamW. Raises KeyError, ValueError or RuntimeError if it does not fit."""
        state = as_split(state, self)
        self.first.copy_(state["first"])
        self.second.copy_(state["second"])
        self._steps.copy_(state["steps"])
