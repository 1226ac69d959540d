"""Group normalisation with what stands before and after it in a residual block, in channels-last memory.

torch's own works on channels-first memory only: it copies every activation there and back.
Here each channel's sums over an image are made in blocks of rows, folded into one scale and one
offset for each (image, channel), and applied in a single pass with the shift before and the SiLU after.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from dbtui.engine.kernels.sums import COLUMNS, PARTIALS, ROWS, THREADS, rows_each

BLOCK = 2048


@triton.jit
def _silu_gradient(z, gradient):
    gate = tl.sigmoid(z)
    return gradient * gate * (1 + z * (1 - gate))


@triton.jit(do_not_specialize=["rows", "each"])
def _sums(x, shift, partial, rows, columns, each, ROWS: tl.constexpr, COLUMNS: tl.constexpr, SHIFT: tl.constexpr):
    """Sums of x + shift and of its squares over each block of rows."""
    block, image = tl.program_id(0), tl.program_id(1)
    blocks, images = tl.num_programs(0), tl.num_programs(1)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < columns
    total, squares = tl.zeros((COLUMNS,), tl.float32), tl.zeros((COLUMNS,), tl.float32)
    if SHIFT:
        added = tl.load(shift + image * columns + column, mask=inside, other=0.0).to(tl.float32)
    for first in range(block * each, min(block * each + each, rows), ROWS):
        row = first + tl.arange(0, ROWS)
        mask = (row < rows)[:, None] & inside[None, :]
        at = image * rows * columns + row[:, None] * columns + column[None, :]
        values = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
        if SHIFT:
            values = tl.where(mask, values + added[None, :], 0.0)
        total += tl.sum(values, 0)
        squares += tl.sum(values * values, 0)
    tl.store(partial + (image * blocks + block) * columns + column, total, mask=inside)
    tl.store(partial + ((images + image) * blocks + block) * columns + column, squares, mask=inside)


@triton.jit
def _load_partial(partial, image, column, inside, columns, blocks, BLOCKS: tl.constexpr):
    block = tl.arange(0, BLOCKS)
    mask = (block < blocks)[:, None] & inside[None, :]
    at = (image * blocks + block[:, None]) * columns + column[None, :]
    return tl.sum(tl.load(partial + at, mask=mask, other=0.0), 0)


@triton.jit(do_not_specialize=["width", "rows", "columns", "blocks"])
def _fold(
    partial, shift, weight, bias, scale, offset, mean, inverse, totals, width, rows, columns, blocks, epsilon,
    GROUP: tl.constexpr, BLOCKS: tl.constexpr, SHIFT: tl.constexpr,
):  # fmt: skip
    """From sums to ``scale`` and ``offset`` of each (image, channel): y = scale * x + offset."""
    group, image = tl.program_id(0), tl.program_id(1)
    groups, images = tl.num_programs(0), tl.num_programs(1)
    index = tl.arange(0, GROUP)
    inside = index < width
    column = group * width + index
    total = _load_partial(partial, image, column, inside, columns, blocks, BLOCKS)
    squares = _load_partial(partial, images + image, column, inside, columns, blocks, BLOCKS)
    count = width * rows
    centre = tl.sum(total) / count
    factor = 1.0 / tl.sqrt(tl.maximum(tl.sum(squares) / count - centre * centre, 0.0) + epsilon)
    tl.store(mean + image * groups + group, centre)
    tl.store(inverse + image * groups + group, factor)
    gamma = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    beta = tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
    added = tl.zeros((GROUP,), tl.float32)
    at = image * columns + column
    if SHIFT:
        added = tl.load(shift + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(scale + at, gamma * factor, mask=inside)
    tl.store(offset + at, beta + (added - centre) * factor * gamma, mask=inside)
    tl.store(totals + at, total, mask=inside)


@triton.jit
def _apply(x, out, scale, offset, rows, columns, total, BLOCK: tl.constexpr, SILU: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < total
    channel = at // (rows * columns) * columns + at % columns
    z = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) * tl.load(scale + channel, mask=mask, other=0.0)
    z += tl.load(offset + channel, mask=mask, other=0.0)
    if SILU:
        z *= tl.sigmoid(z)
    tl.store(out + at, z.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["rows", "each"])
def _gradient_sums(
    x, given, scale, offset, partial, rows, columns, each,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    """Sums of dz and of dz * x over each block of rows, where z is what the SiLU is taken of."""
    block, image = tl.program_id(0), tl.program_id(1)
    blocks, images = tl.num_programs(0), tl.num_programs(1)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < columns
    total, products = tl.zeros((COLUMNS,), tl.float32), tl.zeros((COLUMNS,), tl.float32)
    slope = tl.load(scale + image * columns + column, mask=inside, other=0.0)
    start = tl.load(offset + image * columns + column, mask=inside, other=0.0)
    for first in range(block * each, min(block * each + each, rows), ROWS):
        row = first + tl.arange(0, ROWS)
        mask = (row < rows)[:, None] & inside[None, :]
        at = image * rows * columns + row[:, None] * columns + column[None, :]
        values = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
        gradient = tl.load(given + at, mask=mask, other=0.0).to(tl.float32)
        if SILU:
            gradient = _silu_gradient(slope[None, :] * values + start[None, :], gradient)
        total += tl.sum(gradient, 0)
        products += tl.sum(gradient * values, 0)
    tl.store(partial + (image * blocks + block) * columns + column, total, mask=inside)
    tl.store(partial + ((images + image) * blocks + block) * columns + column, products, mask=inside)


@triton.jit(do_not_specialize=["width", "rows", "columns", "blocks", "images"])
def _fold_gradients(
    partial, shift, weight, mean, inverse, totals, on_gradient, on_input, constant, to_weight, to_bias, to_shift,
    width, rows, columns, blocks, images,
    GROUP: tl.constexpr, BLOCKS: tl.constexpr, SHIFT: tl.constexpr,
):  # fmt: skip
    """From sums to dx = on_gradient * dz + on_input * x + constant, and the gradients of weight, bias and shift.

    The gradient of the shift is the sum of dx over the image, which the sums at hand already give.
    """
    group, groups = tl.program_id(0), tl.num_programs(0)
    index = tl.arange(0, GROUP)
    inside = index < width
    column = group * width + index
    gamma = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    weights, biases = tl.zeros((GROUP,), tl.float32), tl.zeros((GROUP,), tl.float32)
    count = width * rows
    for image in range(0, images):
        at = image * columns + column
        total = _load_partial(partial, image, column, inside, columns, blocks, BLOCKS)
        products = _load_partial(partial, images + image, column, inside, columns, blocks, BLOCKS)
        centre, factor = tl.load(mean + image * groups + group), tl.load(inverse + image * groups + group)
        added = tl.zeros((GROUP,), tl.float32)
        if SHIFT:
            added = tl.load(shift + at, mask=inside, other=0.0).to(tl.float32)
        normal = (products + (added - centre) * total) * factor
        along, across = tl.sum(gamma * normal) / count, tl.sum(gamma * total) / count
        first = factor * gamma
        second = tl.zeros((GROUP,), tl.float32) - factor * factor * along
        third = factor * factor * along * (centre - added) - factor * across
        tl.store(on_gradient + at, first, mask=inside)
        tl.store(on_input + at, second, mask=inside)
        tl.store(constant + at, third, mask=inside)
        weights += normal
        biases += total
        if SHIFT:
            inputs = tl.load(totals + at, mask=inside, other=0.0) - added * rows
            gradient = first * total + second * inputs + third * rows
            tl.store(to_shift + at, gradient.to(to_shift.dtype.element_ty), mask=inside)
    tl.store(to_weight + column, weights.to(to_weight.dtype.element_ty), mask=inside)
    tl.store(to_bias + column, biases.to(to_bias.dtype.element_ty), mask=inside)


@triton.jit
def _apply_gradients(
    x, given, out, scale, offset, on_gradient, on_input, constant, rows, columns, total,
    BLOCK: tl.constexpr, SILU: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < total
    channel = at // (rows * columns) * columns + at % columns
    values = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    gradient = tl.load(given + at, mask=mask, other=0.0).to(tl.float32)
    if SILU:
        slope, start = tl.load(scale + channel, mask=mask, other=0.0), tl.load(offset + channel, mask=mask, other=0.0)
        gradient = _silu_gradient(slope * values + start, gradient)
    gradient *= tl.load(on_gradient + channel, mask=mask, other=0.0)
    gradient += tl.load(on_input + channel, mask=mask, other=0.0) * values
    gradient += tl.load(constant + channel, mask=mask, other=0.0)
    tl.store(out + at, gradient.to(out.dtype.element_ty), mask=mask)


def _tile(width: int) -> tuple[int, int]:
    """Channels and blocks of the tile in which the partial sums of a group are added up; few, since each is compiled."""
    return max(triton.next_power_of_2(width), THREADS // PARTIALS), PARTIALS


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor, groups: int, epsilon: float, silu: bool
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        images, columns, rows = x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
        blocks, each = rows_each(rows, columns, images)
        single = {"device": x.device, "dtype": torch.float32}
        partial = torch.empty(2, images, blocks, columns, **single)
        scale, offset, totals = torch.empty(3, images, columns, **single)
        mean, inverse = torch.empty(2, images, groups, **single)
        has_shift, width = shift is not None, columns // groups
        added = x if shift is None else shift.contiguous()
        grid = (blocks, images, triton.cdiv(columns, COLUMNS))
        _sums[grid](x, added, partial, rows, columns, each, ROWS, COLUMNS, has_shift)
        _fold[(groups, images)](
            partial, added, weight, bias, scale, offset, mean, inverse, totals, width, rows, columns, blocks, epsilon,
            *_tile(width), has_shift,
        )  # fmt: skip
        out, total = torch.empty_like(x), x.numel()
        _apply[(triton.cdiv(total, BLOCK),)](x, out, scale, offset, rows, columns, total, BLOCK, silu)
        ctx.save_for_backward(x, added if has_shift else None, weight, scale, offset, mean, inverse, totals)
        ctx.groups, ctx.silu = groups, silu
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, shift, weight, scale, offset, mean, inverse, totals = ctx.saved_tensors
        given = gradients[0].contiguous(memory_format=torch.channels_last)
        images, columns, rows = x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
        blocks, each = rows_each(rows, columns, images)
        single = {"device": x.device, "dtype": torch.float32}
        partial = torch.empty(2, images, blocks, columns, **single)
        on_gradient, on_input, constant = torch.empty(3, images, columns, **single)
        to_weight, to_bias, has_shift = torch.empty_like(weight), torch.empty_like(weight), shift is not None
        added, to_shift = (shift, torch.empty_like(shift)) if has_shift else (x, to_bias)
        width = columns // ctx.groups
        grid = (blocks, images, triton.cdiv(columns, COLUMNS))
        _gradient_sums[grid](x, given, scale, offset, partial, rows, columns, each, ROWS, COLUMNS, ctx.silu)
        _fold_gradients[(ctx.groups,)](
            partial, added, weight, mean, inverse, totals, on_gradient, on_input, constant,
            to_weight, to_bias, to_shift, width, rows, columns, blocks, images, *_tile(width), has_shift,
        )  # fmt: skip
        out, total = torch.empty_like(x), x.numel()
        _apply_gradients[(triton.cdiv(total, BLOCK),)](
            x, given, out, scale, offset, on_gradient, on_input, constant, rows, columns, total, BLOCK, ctx.silu
        )
        return out, to_shift if has_shift else None, to_weight, to_bias, None, None, None


def group_norm(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, epsilon: float, *, silu: bool, shift: Tensor | None = None
) -> Tensor:
    """silu(group_norm(``x`` + ``shift``)) for ``x`` [N, C, H, W] and ``shift`` [N, C]; without ``silu`` the norm alone.

    Wu and He, arXiv 1803.08494. The result is in channels-last memory.
    """
    return _GroupNorm.apply(x, shift, weight, bias, groups, epsilon, silu)  # type: ignore[no-any-return]
