"""The gated GELU of the transformer blocks (Shazeer, arXiv 2002.05202), with the exact GELU."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024


@triton.jit
def _load_halves(x, row, column, width, mask):
    value = tl.load(x + row * 2 * width + column, mask=mask, other=0.0).to(tl.float32)
    gate = tl.load(x + row * 2 * width + width + column, mask=mask, other=0.0).to(tl.float32)
    return value, gate, 0.5 * (1 + tl.erf(gate * 0.7071067811865476))


@triton.jit
def _forward(x, out, width, total, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < total
    value, gate, phi = _load_halves(x, at // width, at % width, width, mask)
    tl.store(out + at, (value * gate * phi).to(out.dtype.element_ty), mask=mask)


@triton.jit
def _backward(x, gradient, out, width, total, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < total
    row, column = at // width, at % width
    value, gate, phi = _load_halves(x, row, column, width, mask)
    given = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
    density = tl.exp(-0.5 * gate * gate) * 0.3989422804014327
    first = out + row * 2 * width + column
    tl.store(first, (given * gate * phi).to(out.dtype.element_ty), mask=mask)
    tl.store(first + width, (given * value * (phi + gate * density)).to(out.dtype.element_ty), mask=mask)


class _Geglu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x)
        out = torch.empty(*x.shape[:-1], x.shape[-1] // 2, device=x.device, dtype=x.dtype)
        _forward[(triton.cdiv(out.numel(), BLOCK),)](x, out, out.shape[-1], out.numel(), BLOCK)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        gradient, out = gradients[0].contiguous(), torch.empty_like(x)
        _backward[(triton.cdiv(gradient.numel(), BLOCK),)](
            x, gradient, out, gradient.shape[-1], gradient.numel(), BLOCK
        )
        return out


def geglu(x: Tensor) -> Tensor:
    """The first half of ``x`` [..., 2 * width] times the GELU of the second: [..., width]."""
    return _Geglu.apply(x)  # type: ignore[no-any-return]
