"""AdamW (Loshchilov and Hutter, arXiv 1711.05101) over many tensors in one launch, on split weights.

A weight is kept as a bf16 number, which the model computes with, and the 16 bits that rounding to
bf16 left over; together they are the fp32 master weight, so that no small update is lost and no
second copy is needed. The table that the kernels walk has a row for each chunk of a tensor.
"""

from __future__ import annotations

import triton
import triton.language as tl

CHUNK = 2048
"""Elements that one program works on."""


@triton.jit
def _squares(gradients, starts, lengths, partial, CHUNK: tl.constexpr):
    row = tl.program_id(0)
    length = tl.load(lengths + row)
    gradient = tl.load(gradients + row).to(tl.pointer_type(tl.bfloat16)) + tl.load(starts + row)
    at = tl.arange(0, CHUNK)
    # Whole chunks are loaded without a mask: a mask of unknown length forbids wide loads.
    if length == CHUNK:
        values = tl.load(tl.multiple_of(gradient, 16) + at).to(tl.float32)
    else:
        values = tl.load(gradient + at, mask=at < length, other=0.0).to(tl.float32)
    tl.store(partial + row, tl.sum(values * values))


@triton.jit
def _update(high, low, gradient, first, second, scale, rate, decay, grown1, grown2, beta1, beta2, epsilon, at, mask, MASKED: tl.constexpr):  # fmt: skip
    if MASKED:
        g = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32) * scale
        h = tl.load(high + at, mask=mask, other=0.0).to(tl.int16, bitcast=True).to(tl.int32)
        rest = tl.load(low + at, mask=mask, other=0).to(tl.int32)
        m, v = tl.load(first + at, mask=mask, other=0.0), tl.load(second + at, mask=mask, other=0.0)
    else:
        g = tl.load(gradient + at).to(tl.float32) * scale
        h = tl.load(high + at).to(tl.int16, bitcast=True).to(tl.int32)
        rest = tl.load(low + at).to(tl.int32)
        m, v = tl.load(first + at), tl.load(second + at)
    weight = ((h << 16) + rest).to(tl.float32, bitcast=True)
    m += (g - m) * (1 - beta1)
    v = v * beta2 + g * g * (1 - beta2)
    weight *= 1 - rate * decay
    weight -= rate / grown1 * m / (tl.sqrt(v / grown2) + epsilon)
    bits = weight.to(tl.int32, bitcast=True)
    h = (bits + 0x8000) >> 16
    rest = (bits - (h << 16)).to(tl.int16)
    rounded = h.to(tl.int16).to(tl.bfloat16, bitcast=True)
    if MASKED:
        tl.store(high + at, rounded, mask=mask)
        tl.store(low + at, rest, mask=mask)
        tl.store(first + at, m, mask=mask)
        tl.store(second + at, v, mask=mask)
    else:
        tl.store(high + at, rounded)
        tl.store(low + at, rest)
        tl.store(first + at, m)
        tl.store(second + at, v)


@triton.jit
def _adamw(
    weights, gradients, starts, lengths, places, lows, firsts, seconds, rates, scale, grown1, grown2,
    beta1, beta2, epsilon, decay, CHUNK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    start, length, place = tl.load(starts + row), tl.load(lengths + row), tl.load(places + row)
    high = tl.multiple_of(tl.load(weights + row).to(tl.pointer_type(tl.bfloat16)) + start, 16)
    gradient = tl.multiple_of(tl.load(gradients + row).to(tl.pointer_type(tl.bfloat16)) + start, 16)
    low = tl.multiple_of(lows + place, 16)
    first, second = tl.multiple_of(firsts + place, 16), tl.multiple_of(seconds + place, 16)
    factor = tl.load(scale)
    # A scale of zero says that the gradient is not finite: then nothing changes, not even the moments.
    if factor > 0:
        rate, g1, g2 = tl.load(rates + row), tl.load(grown1), tl.load(grown2)
        at = tl.arange(0, CHUNK)
        if length == CHUNK:
            _update(high, low, gradient, first, second, factor, rate, decay, g1, g2, beta1, beta2, epsilon, at, at < length, False)  # fmt: skip
        else:
            _update(high, low, gradient, first, second, factor, rate, decay, g1, g2, beta1, beta2, epsilon, at, at < length, True)  # fmt: skip
