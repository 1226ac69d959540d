"""AdamW for bf16 weights that loses nothing: the optimizer of the fast path on a GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dbtui.engine.kernels.adamw import CHUNK, _adamw, _squares

ALIGNMENT = 64
"""Elements; where each tensor's part of the state begins, so that wide loads stay aligned."""


class SplitAdamW:
    """AdamW on ``parameters``, bf16 tensors on one device, whose fp32 masters it keeps as the bits that bf16 leaves out.

    Nothing here waits for the device: rates, norm and step count are tensors there, so that
    ``step`` can be captured in a CUDA graph. A gradient that is not finite changes nothing, and neither
    does any step after it until ``pardon``: whoever reads the norm a step late still finds the weights sound.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], masters: Sequence[Tensor], shares: Sequence[float],
        decay: float, max_norm: float,
    ) -> None:  # fmt: skip
        """``masters`` are the fp32 weights, on any device, ``shares`` the parameters' learning rates as multiples of
        the rate; ``max_norm`` 0 never cuts.
        """
        self.parameters, self._decay = list(parameters), decay
        self._max_norm = max_norm or math.inf
        device = self.parameters[0].device
        rows = [
            (index, start, min(CHUNK, p.numel() - start))
            for index, p in enumerate(self.parameters)
            for start in range(0, p.numel(), CHUNK)
        ]
        self._places = [0]
        for p in self.parameters:
            self._places.append(self._places[-1] + math.ceil(p.numel() / ALIGNMENT) * ALIGNMENT)
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
        self.lows = torch.zeros(self._places[-1], dtype=torch.int16, device=device)
        for index, master in enumerate(masters):
            self.load_master(index, master)
        self.first = torch.zeros(self._places[-1], device=device)
        self.second = torch.zeros(self._places[-1], device=device)

    def _addresses(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.tensor([t.data_ptr() for t in tensors])[self._owners].to(tensors[0].device)

    def bind(self) -> None:
        """Take the gradients that the parameters have now as the ones to read in every step."""
        for p in self.parameters:
            if p.grad is None or p.grad.dtype != p.dtype or _dense(p.grad).data_ptr() != p.grad.data_ptr():
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

    def load_master(self, index: int, master: Tensor) -> None:
        """Set parameter ``index`` to this fp32 tensor: bf16 to the nearest, and what that leaves over."""
        parameter = self.parameters[index]
        like = master.to(parameter.device, torch.float32).contiguous(memory_format=_format(parameter))
        bits = _flat(like).view(torch.int32)
        high = (bits + 0x8000) >> 16
        _flat(parameter.detach()).copy_(high.to(torch.int16).view(torch.bfloat16))
        self._part(self.lows, index).copy_((bits - (high << 16)).to(torch.int16))

    def master(self, index: int) -> Tensor:
        """The fp32 weights of parameter ``index``, in its shape."""
        parameter = self.parameters[index]
        high = _flat(parameter.detach()).view(torch.int16).to(torch.int32)
        flat = ((high << 16) + self._part(self.lows, index)).view(torch.float32)
        return flat.as_strided(parameter.shape, parameter.stride())

    def _part(self, state: Tensor, index: int) -> Tensor:
        start = self._places[index]
        return state[start : start + self.parameters[index].numel()]

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs beside the masters."""
        return {"first": self.first, "second": self.second, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` gave. Raises KeyError or RuntimeError if it does not fit."""
        self.first.copy_(state["first"])
        self.second.copy_(state["second"])
        self._steps.copy_(state["steps"])


def _dense(tensor: Tensor) -> Tensor:
    """``tensor``, or a copy of it, without gaps in memory."""
    return tensor.contiguous(memory_format=_format(tensor))


def _format(tensor: Tensor) -> torch.memory_format:
    last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _flat(tensor: Tensor) -> Tensor:
    """All elements in the order of memory."""
    return tensor.as_strided((tensor.numel(),), (1,))
