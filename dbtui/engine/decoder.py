"""What makes pictures of latents: on request the VAE's decoder in 16 bit on this program's kernels.

torch's group norm works on channels-first memory: beside convolutions, which are fastest on channels-last memory, copies
there and back take as long as all the rest.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from dbtui.core.errors import printable

TOLERANCE = 16
"""Relative distance that is taken for rounding, in epsilons of the coarser type: four times what was seen."""


class KernelDecoder:
    """Decodes what ``vae`` decodes; once that fails or differs, ``vae`` does it and ``say`` is told.

    Each shape is compared with the VAE when it is new.
    """

    def __init__(self, vae: AutoencoderKL, say: Callable[[str], object], dtype: torch.dtype) -> None:
        self._vae, self.say, self._dtype = vae, say, dtype
        self._copy: nn.Sequential | None = None
        self._compared: set[torch.Size] = set()
        self.given_up = False

    def release(self) -> None:
        """Give the memory back; the next pictures take it again."""
        self._copy = None

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        """Pixels [N, 3, H, W] from -1 to 1 of ``latents`` [N, C, h, w], as the VAE has them. Raises what the VAE raises."""
        if not self.given_up:
            try:
                return self._by_kernels(latents)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # whatever a driver or a compiler of kernels raises, the plain way works
                self.given_up = True
                why = printable(error or type(error).__name__)
                self.release()
            self.say(f"Pictures cannot be decoded by this program's kernels here ({why}); the plain way does it.")
        return self._plainly(latents)

    def _plainly(self, latents: Tensor) -> Tensor:
        return self._vae.decode(latents, return_dict=False)[0]

    def _by_kernels(self, latents: Tensor) -> Tensor:
        """Raises ValueError for a shape that is new and is not decoded as the VAE does."""
        with torch.autocast(latents.device.type, enabled=False):  # the weights have their type already
            pixels = self._fused()(latents.to(self._dtype, memory_format=torch.channels_last))
        if latents.shape not in self._compared:
            wanted = self._plainly(latents)
            distance = float((pixels.float() - wanted.float()).norm() / wanted.float().norm())
            epsilon = max(torch.finfo(kind).eps for kind in (self._dtype, wanted.dtype))
            if not distance <= TOLERANCE * epsilon:  # nor if it is no number
                raise ValueError(f"what it decodes is {distance:.1%} off")
            self._compared.add(latents.shape)
        return pixels

    def _fused(self) -> nn.Sequential:
        """The copy, made at the first need."""
        if self._copy is None:
            from dbtui.engine import fused

            made = nn.Sequential(self._vae.post_quant_conv, self._vae.decoder)
            made = copy.deepcopy(made).to(self._dtype, memory_format=torch.channels_last)
            fused.fuse(made[1])
            self._copy = made
        return self._copy
