"""Layer normalisation whose weight gradients are summed where its input's gradient is made."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from dbtui.engine.kernels.sums import add_up

TILE = 2048
"""Elements that a program of the forward pass has in hand: rows enough to keep the memory busy."""

PARTIALS = 256
"""Programs of the backward pass at most; each keeps one partial sum of the weight gradients."""


@triton.jit(do_not_specialize=["rows"])
def _forward(x, out, weight, bias, mean, scale, rows, width, epsilon, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    inside = column < width
    mask = (row < rows)[:, None] & inside[None, :]
    at = row[:, None] * width + column[None, :]
    values = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    centre = tl.sum(values, 1) / width
    values = tl.where(mask, values - centre[:, None], 0.0)
    inverse = 1.0 / tl.sqrt(tl.sum(values * values, 1) / width + epsilon)
    tl.store(mean + row, centre, mask=row < rows)
    tl.store(scale + row, inverse, mask=row < rows)
    gamma = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    beta = tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
    values = values * inverse[:, None] * gamma[None, :] + beta[None, :]
    tl.store(out + at, values.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["rows", "each"])
def _backward(x, given, out, weight, mean, scale, partial, rows, width, each, WIDTH: tl.constexpr):
    block, blocks = tl.program_id(0), tl.num_programs(0)
    column = tl.arange(0, WIDTH)
    mask = column < width
    gamma = tl.load(weight + column, mask=mask, other=0.0).to(tl.float32)
    weights, biases = tl.zeros((WIDTH,), tl.float32), tl.zeros((WIDTH,), tl.float32)
    for row in range(block * each, min(block * each + each, rows)):
        inverse = tl.load(scale + row)
        values = tl.load(x + row * width + column, mask=mask, other=0.0).to(tl.float32)
        values = tl.where(mask, (values - tl.load(mean + row)) * inverse, 0.0)
        gradient = tl.load(given + row * width + column, mask=mask, other=0.0).to(tl.float32)
        weights += gradient * values
        biases += gradient
        gradient *= gamma
        gradient -= tl.sum(gradient) / width + values * (tl.sum(gradient * values) / width)
        tl.store(out + row * width + column, (gradient * inverse).to(out.dtype.element_ty), mask=mask)
    tl.store(partial + block * width + column, weights, mask=mask)
    tl.store(partial + (blocks + block) * width + column, biases, mask=mask)


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        x = x.contiguous()
        width = x.shape[-1]
        rows = x.numel() // width
        mean, scale = torch.empty(2, rows, device=x.device, dtype=torch.float32)
        out = torch.empty_like(x)
        wide = triton.next_power_of_2(width)
        tall = max(1, TILE // wide)
        grid = (triton.cdiv(rows, tall),)
        # In one warp: no row is added up across several.
        _forward[grid](x, out, weight, bias, mean, scale, rows, width, epsilon, tall, wide, num_warps=1)
        ctx.save_for_backward(x, weight, mean, scale)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale = ctx.saved_tensors
        given, out, width = gradients[0].contiguous(), torch.empty_like(x), x.shape[-1]
        rows = x.numel() // width
        each = triton.cdiv(rows, PARTIALS)
        blocks = triton.cdiv(rows, each)
        partial = torch.empty(2, blocks, width, device=x.device, dtype=torch.float32)
        _backward[(blocks,)](
            x, given, out, weight, mean, scale, partial, rows, width, each, triton.next_power_of_2(width)
        )
        return out, add_up(partial[0], weight), add_up(partial[1], weight), None


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Layer normalisation of ``x`` [..., width] over its last axis."""
    return _LayerNorm.apply(x, weight, bias, epsilon)  # type: ignore[no-any-return]
