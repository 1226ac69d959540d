"""Sums over the rows of a tall matrix: the gradients of biases and of norms' weights."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS, COLUMNS = 64, 64
"""Of the tile that a program holds at a time."""

PARTIALS = 64
"""Partial sums of a column at most, so that one program can add them up."""

THREADS = 128
"""Of a program, in Triton's four warps; a tile that is reduced has at least as many elements, so that none is there twice."""

PROGRAMS = 4224
"""Programs that fill a large GPU: enough of them wait for memory at a time on each of 132 multiprocessors."""

ADDED = 32
"""Columns whose partial sums a program adds up."""


def rows_each(rows: int, columns: int, images: int = 1) -> tuple[int, int]:
    """How many blocks the rows are split into, and the rows of each (a multiple of ROWS)."""
    programs = PROGRAMS // max(1, images * triton.cdiv(columns, COLUMNS))
    blocks = max(1, min(PARTIALS, rows // ROWS, programs))
    each = triton.cdiv(triton.cdiv(rows, blocks), ROWS) * ROWS
    return triton.cdiv(rows, each), each


@triton.jit(do_not_specialize=["rows", "each"])
def _partial_sums(x, partial, rows, columns, each, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    block = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < columns
    total = tl.zeros((COLUMNS,), tl.float32)
    for first in range(block * each, min(block * each + each, rows), ROWS):
        row = first + tl.arange(0, ROWS)
        mask = (row < rows)[:, None] & inside[None, :]
        total += tl.sum(tl.load(x + row[:, None] * columns + column[None, :], mask=mask, other=0.0).to(tl.float32), 0)
    tl.store(partial + block * columns + column, total, mask=inside)


@triton.jit(do_not_specialize=["blocks"])
def _add_up(partial, out, blocks, columns, BLOCKS: tl.constexpr, COLUMNS: tl.constexpr):
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    block = tl.arange(0, BLOCKS)
    mask = (block < blocks)[:, None] & (column < columns)[None, :]
    values = tl.load(partial + block[:, None] * columns + column[None, :], mask=mask, other=0.0)
    tl.store(out + column, tl.sum(values, 0).to(out.dtype.element_ty), mask=column < columns)


def add_up(partial: Tensor, like: Tensor) -> Tensor:
    """Sum of ``partial`` [blocks, columns] over its blocks, in the type of ``like``."""
    blocks, columns = partial.shape
    out = torch.empty(columns, device=partial.device, dtype=like.dtype)
    tall = triton.next_power_of_2(max(blocks, PARTIALS))  # few sizes, since each is compiled
    _add_up[(triton.cdiv(columns, ADDED),)](partial, out, blocks, columns, tall, ADDED)
    return out


def column_sums(x: Tensor, columns: int, like: Tensor) -> Tensor:
    """Sums [columns] over the rows of ``x``, whose memory is [rows, columns], in the type of ``like``."""
    rows = x.numel() // columns
    blocks, each = rows_each(rows, columns)
    partial = torch.empty(blocks, columns, device=x.device, dtype=torch.float32)
    _partial_sums[(blocks, triton.cdiv(columns, COLUMNS))](x, partial, rows, columns, each, ROWS, COLUMNS)
    return add_up(partial, like)
