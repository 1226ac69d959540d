"""Weights in bf16 whose fp32 masters are kept as the bits that bf16 leaves out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

ALIGNMENT = 64
"""Elements; where each tensor's part of the state begins, so that wide loads stay aligned."""


class SplitWeights:
    """``parameters``, bf16 tensors on one device, and what each weight lacks of its fp32 master.

    The two together take the room of the master alone, and lose nothing.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], masters: Iterable[Tensor]) -> None:
        """``masters`` are the fp32 weights, on any device; each is let go of once the next is there."""
        self.parameters = list(parameters)
        self._places = places(self.parameters)
        self.lows = torch.zeros(self._places[-1], dtype=torch.int16, device=self.parameters[0].device)
        for index, master in enumerate(masters):
            self.load_master(index, master)

    def load_master(self, index: int, master: Tensor) -> None:
        """Set parameter ``index`` to this fp32 tensor: bf16 to the nearest, and what that leaves over."""
        parameter = self.parameters[index]
        like = master.to(parameter.device, torch.float32).contiguous(memory_format=memory_format(parameter))
        split(flat(like), flat(parameter.detach()), self._part(self.lows, index))

    def master(self, index: int) -> Tensor:
        """The fp32 weights of parameter ``index``, in its shape."""
        parameter = self.parameters[index]
        joined = join(flat(parameter.detach()), self._part(self.lows, index))
        return joined.as_strided(parameter.shape, parameter.stride())

    def laid_out(self, tensors: Mapping[int, Tensor]) -> Tensor:
        """``tensors``, each of a parameter's shape, in one row of fp32 as the parameters lie in memory; 0 elsewhere.

        Raises RuntimeError for one of another shape.
        """
        row = torch.zeros(self._places[-1])
        for index, tensor in tensors.items():
            parameter = self.parameters[index]
            if tensor.shape != parameter.shape:
                raise RuntimeError(f"a tensor is {tuple(tensor.shape)} and should be {tuple(parameter.shape)}")
            self._part(row, index).copy_(flat(tensor.contiguous(memory_format=memory_format(parameter))))
        return row

    def _part(self, state: Tensor, index: int) -> Tensor:
        start = self._places[index]
        return state[start : start + self.parameters[index].numel()]


def places(parameters: Sequence[nn.Parameter]) -> list[int]:
    """Where each parameter's part of the state begins, in elements, and where the last one ends."""
    starts = [0]
    for parameter in parameters:
        starts.append(starts[-1] + math.ceil(parameter.numel() / ALIGNMENT) * ALIGNMENT)
    return starts


def split(master: Tensor, high: Tensor, low: Tensor) -> None:
    """Write fp32 numbers as the nearest bf16 ones and the 16 bits that those leave over, which may be negative."""
    bits = master.view(torch.int32)
    nearest = (bits + 0x8000) >> 16
    high.copy_(nearest.to(torch.int16).view(torch.bfloat16))
    low.copy_((bits - (nearest << 16)).to(torch.int16))


def join(high: Tensor, low: Tensor) -> Tensor:
    """The fp32 numbers that ``split`` was given, as a new tensor."""
    return ((high.view(torch.int16).to(torch.int32) << 16) + low).view(torch.float32)


def memory_format(tensor: Tensor) -> torch.memory_format:
    last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def dense(tensor: Tensor) -> Tensor:
    """``tensor``, or a copy of it, without gaps in memory."""
    return tensor.contiguous(memory_format=memory_format(tensor))


def flat(tensor: Tensor) -> Tensor:
    """All elements in the order of memory."""
    return tensor.as_strided((tensor.numel(),), (1,))
