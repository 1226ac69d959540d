"""The kernels against torch in double precision: values and every gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

pytest.importorskip("triton")

from dbtui.engine.kernels.bias import add_bias, linear
from dbtui.engine.kernels.geglu import geglu
from dbtui.engine.kernels.group_norm import group_norm
from dbtui.engine.kernels.layer_norm import layer_norm

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Function = Callable[..., Tensor]


def numbers(*shape: int, offset: float = 0.0) -> Tensor:
    values = torch.randn(*shape, device=DEVICE) + offset
    if values.dim() == 4:
        values = values.contiguous(memory_format=torch.channels_last)
    return values.requires_grad_()


def assert_same(ours: Function, theirs: Function, inputs: Sequence[Tensor]) -> None:
    """``ours`` gives what ``theirs`` gives in double precision, and so do their gradients."""
    exact = [x.detach().double().requires_grad_() for x in inputs]
    out, wanted = ours(*inputs), theirs(*exact)
    given = torch.randn_like(out)
    torch.testing.assert_close(out.double(), wanted, rtol=1e-4, atol=1e-4)
    gradients = torch.autograd.grad(out, inputs, given)
    for gradient, exactly in zip(gradients, torch.autograd.grad(wanted, exact, given.double()), strict=True):
        torch.testing.assert_close(gradient.double(), exactly, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize("shifted", [True, False])
@pytest.mark.parametrize(("channels", "side"), [(64, 8), (96, 5), (320, 4)])
def test_group_norm(channels: int, side: int, shifted: bool, silu: bool) -> None:
    torch.manual_seed(0)
    x = numbers(2, channels, side, side, offset=3.0)
    inputs = [x, numbers(channels), numbers(channels)] + ([numbers(2, channels)] if shifted else [])

    def ours(x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor | None = None) -> Tensor:
        return group_norm(x, weight, bias, 32, 1e-5, silu=silu, shift=shift)

    def theirs(x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor | None = None) -> Tensor:
        z = functional.group_norm(x if shift is None else x + shift[:, :, None, None], 32, weight, bias, 1e-5)
        return functional.silu(z) if silu else z

    assert_same(ours, theirs, inputs)


def test_group_norm_takes_channels_first_memory_too() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(1, 32, 4, 4, device=DEVICE), numbers(32), numbers(32)
    last = x.contiguous(memory_format=torch.channels_last)
    first = group_norm(x, weight, bias, 32, 1e-5, silu=True)
    assert torch.equal(first, group_norm(last, weight, bias, 32, 1e-5, silu=True))


def test_layer_norm() -> None:
    torch.manual_seed(0)
    assert_same(
        lambda x, w, b: layer_norm(x, w, b, 1e-5),
        lambda x, w, b: functional.layer_norm(x, (96,), w, b, 1e-5),
        [numbers(2, 300, 96, offset=1.0), numbers(96), numbers(96)],
    )


def test_geglu() -> None:
    torch.manual_seed(0)

    def theirs(x: Tensor) -> Tensor:
        value, gate = x.chunk(2, -1)
        return value * functional.gelu(gate)

    assert_same(geglu, theirs, [numbers(3, 7, 80)])


def test_linear() -> None:
    torch.manual_seed(0)
    assert_same(linear, functional.linear, [numbers(2, 70, 48), numbers(40, 48), numbers(40)])


@pytest.mark.parametrize("residual", [True, False])
def test_add_bias(residual: bool) -> None:
    torch.manual_seed(0)
    inputs = [numbers(2, 96, 9, 9), numbers(96)] + ([numbers(2, 96, 9, 9)] if residual else [])

    def theirs(x: Tensor, bias: Tensor, other: Tensor | None = None) -> Tensor:
        y = x + bias[None, :, None, None]
        return y if other is None else y + other

    assert_same(add_bias, theirs, inputs)
