"""The kernels at Stable Diffusion 1.5's widths; tests/kernels has those of the embedded model, and runs here too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

pytest.importorskip("triton")

from exactness import assert_exact, distance, strict_torch  # noqa: F401

from dbtui.engine.kernels.bias import add_bias, linear
from dbtui.engine.kernels.geglu import geglu
from dbtui.engine.kernels.group_norm import group_norm
from dbtui.engine.kernels.layer_norm import layer_norm

TYPES = [torch.float32, torch.float16, torch.bfloat16]
IMAGES = [(18, 320, 64), (2, 640, 64), (2, 960, 64), (18, 640, 32), (2, 1920, 32), (4, 1280, 16), (18, 2560, 8)]
"""Examples, channels and side of what the UNet normalises at 512 px, with and without guidance's doubled grid."""


def numbers(*shape: int, dtype: torch.dtype, offset: float = 0.0) -> Tensor:
    torch.manual_seed(0)
    values = (torch.randn(*shape, device="cuda") + offset).to(dtype)
    return (values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values).requires_grad_()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("count", "channels", "side"), IMAGES)
def test_group_norm(count: int, channels: int, side: int, dtype: torch.dtype) -> None:
    def ours(x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor) -> Tensor:
        return group_norm(x, weight, bias, 32, 1e-5, silu=True, shift=shift)

    def theirs(x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor) -> Tensor:
        return functional.silu(functional.group_norm(x + shift[:, :, None, None], 32, weight, bias, 1e-5))

    x = numbers(count, channels, side, side, dtype=dtype, offset=2.0)
    inputs = [x, numbers(channels, dtype=dtype, offset=1.0), numbers(channels, dtype=dtype)]
    assert_exact(ours, theirs, [*inputs, numbers(count, channels, dtype=dtype)], dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("count", "channels", "side"), IMAGES)
def test_bias_and_residual(count: int, channels: int, side: int, dtype: torch.dtype) -> None:
    x = numbers(count, channels, side, side, dtype=dtype)
    inputs = [x, numbers(channels, dtype=dtype), x.detach().flip(0).requires_grad_()]
    assert_exact(add_bias, lambda x, bias, other: x + bias[None, :, None, None] + other, inputs, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("width", "rows"), [(320, 4096), (640, 1024), (1280, 256), (1280, 64)])
def test_layers_of_a_transformer_block(width: int, rows: int, dtype: torch.dtype) -> None:
    weight, bias = numbers(width, dtype=dtype), numbers(width, dtype=dtype)
    assert_exact(
        lambda x, w, b: layer_norm(x, w, b, 1e-5), lambda x, w, b: functional.layer_norm(x, (width,), w, b, 1e-5),
        [numbers(4, rows, width, dtype=dtype, offset=1.0), weight, bias], dtype,
    )  # fmt: skip

    def gated(x: Tensor) -> Tensor:
        value, gate = x.chunk(2, -1)
        return value * functional.gelu(gate)

    assert_exact(geglu, gated, [numbers(4, rows, 8 * width, dtype=dtype)], dtype)
    inputs = [numbers(4, rows, width, dtype=dtype), numbers(width, width, dtype=dtype), bias]
    assert_exact(linear, functional.linear, inputs, dtype)


def test_a_graph_of_the_kernels_gives_the_same_again() -> None:
    """Sums that a replay would find full, or memory that it would find taken, show in the second replay."""
    from dbtui.engine.cuda_graph import captured, side_stream

    x = numbers(4, 224, 16, 16, dtype=torch.float16)
    parts = [x, numbers(224, dtype=torch.float16), numbers(224, dtype=torch.float16)]
    kept = [torch.zeros_like(part) for part in parts]

    def work() -> None:
        out = add_bias(group_norm(*parts, 32, 1e-5, silu=True), parts[2], x)
        for into, gradient in zip(kept, torch.autograd.grad(out.float().square().sum(), parts), strict=True):
            into.copy_(gradient)

    with side_stream():
        work()
    wanted = [part.clone() for part in kept]
    graph = captured(work)
    for _ in range(3):
        other = torch.randn(2**22, device="cuda")  # memory that the graph does not own is used in between
        graph.replay()
        assert all(distance(found, exact) < 1e-3 for found, exact in zip(kept, wanted, strict=True))
        del other
