"""The kernels at the embedded model's widths, in each type and memory layout, by relative distance."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional

pytest.importorskip("triton")

from exactness import DEVICE, assert_exact, distance, rounding, strict_torch  # noqa: F401

from dbtui.core.base_model import find_model
from dbtui.engine.fused import fuse
from dbtui.engine.kernels.bias import add_bias, linear
from dbtui.engine.kernels.geglu import geglu
from dbtui.engine.kernels.group_norm import group_norm
from dbtui.engine.kernels.layer_norm import layer_norm
from dbtui.engine.models import load_models

FULL, HALF, BRAIN = torch.float32, torch.float16, torch.bfloat16

IMAGES = [
    # Examples, channels, side, and types of all and of a shift: every width that the embedded UNet's norms have, a
    # grid doubled for guidance, and a single pixel.
    (18, 64, 2, HALF, HALF),
    (9, 128, 2, BRAIN, FULL),
    (2, 192, 4, HALF, None),
    (1, 224, 4, BRAIN, None),
    (2, 256, 3, FULL, FULL),
    (2, 352, 2, FULL, None),
    (3, 224, 1, FULL, None),
    (1, 448, 8, HALF, FULL),
    (1, 64, 16, BRAIN, BRAIN),
]


def numbers(*shape: int, dtype: torch.dtype, offset: float = 0.0) -> Tensor:
    torch.manual_seed(sum(shape))
    values = (torch.randn(*shape) + offset).to(DEVICE, dtype)
    return (values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values).requires_grad_()


def norm_in_torch(x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor | None = None) -> Tensor:
    x = x if shift is None else x + shift[:, :, None, None]
    return functional.silu(functional.group_norm(x, 32, weight, bias, 1e-5))


def norm(x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor | None = None) -> Tensor:
    return group_norm(x, weight, bias, 32, 1e-5, silu=True, shift=shift)


@pytest.mark.parametrize(("count", "channels", "side", "dtype", "shift"), IMAGES)
def test_group_norm(count: int, channels: int, side: int, dtype: torch.dtype, shift: torch.dtype | None) -> None:
    inputs = [numbers(count, channels, side, side, dtype=dtype, offset=2.0)]
    inputs += [numbers(channels, dtype=dtype, offset=offset) for offset in (1.0, 0.0)]
    if shift:
        inputs.append(numbers(count, channels, dtype=shift))
    assert_exact(norm, norm_in_torch, inputs, dtype)


@pytest.mark.parametrize("dtype", [FULL, HALF])
def test_group_norm_of_numbers_far_from_zero(dtype: torch.dtype) -> None:
    """Squares are summed in 32 bit: what fp16 cannot hold, it need not; what is lost beside a large mean is little."""
    inputs = [numbers(2, 224, 4, 4, dtype=dtype, offset=100.0)]
    inputs += [numbers(224, dtype=dtype), numbers(224, dtype=dtype)]
    exact = norm_in_torch(*(x.detach().double() for x in inputs))
    assert distance(norm(*inputs), exact) < 0.02


@pytest.mark.parametrize("layout", ["first", "sliced", "expanded"])
def test_group_norm_and_bias_take_any_layout(layout: str) -> None:
    x = {
        "first": torch.randn(2, 64, 4, 4),
        "sliced": torch.randn(2, 128, 8, 8).to(memory_format=torch.channels_last)[:, ::2, ::2, 1::2],
        "expanded": torch.randn(1, 64, 4, 4).expand(2, -1, -1, -1),
    }[layout].to(DEVICE)
    weight, bias = numbers(64, dtype=FULL), numbers(64, dtype=FULL)
    assert distance(norm(x, weight, bias), norm_in_torch(x.double(), weight.double(), bias.double())) < 2e-5
    assert distance(add_bias(x, bias, x), 2 * x + bias[:, None, None]) < 2e-5


@pytest.mark.parametrize("dtype", [FULL, HALF, BRAIN])
@pytest.mark.parametrize("width", [128, 224])
def test_layers_of_a_transformer_block(width: int, dtype: torch.dtype) -> None:
    rows = numbers(2, 5, width, dtype=dtype, offset=1.0)
    weight, bias = numbers(width, dtype=dtype), numbers(width, dtype=dtype)
    assert_exact(
        lambda x, w, b: layer_norm(x, w, b, 1e-5), lambda x, w, b: functional.layer_norm(x, (width,), w, b, 1e-5),
        [rows, weight, bias], dtype,
    )  # fmt: skip

    def gated(x: Tensor) -> Tensor:
        value, gate = x.chunk(2, -1)
        return value * functional.gelu(gate)

    assert_exact(geglu, gated, [numbers(2, 3, 8 * width, dtype=dtype)], dtype)
    half = numbers(2, 16, 2 * width, dtype=dtype).detach()[..., ::2].requires_grad_()
    assert_exact(linear, functional.linear, [half, numbers(24, width, dtype=dtype), numbers(24, dtype=dtype)], dtype)


@pytest.mark.parametrize(("count", "channels", "side", "dtype", "residual"), [*IMAGES[:4], (2, 4, 16, FULL, None)])
def test_add_bias(count: int, channels: int, side: int, dtype: torch.dtype, residual: torch.dtype | None) -> None:
    inputs = [numbers(count, channels, side, side, dtype=dtype), numbers(channels, dtype=dtype)]
    inputs += [numbers(count, channels, side, side, dtype=residual)] if residual else []

    def added(x: Tensor, bias: Tensor, other: Tensor | float = 0.0) -> Tensor:
        return x + bias[None, :, None, None] + other

    assert_exact(add_bias, added, inputs, dtype)


@pytest.mark.parametrize("dtype", [FULL, HALF, BRAIN] if DEVICE == "cuda" else [HALF])
def test_the_embedded_unet_predicts_the_same(dtype: torch.dtype) -> None:
    """With its own weights, down to 2 x 2 latents, from latents channels-first."""
    models = load_models(find_model("mini"))
    exact = copy.deepcopy(models.unet).double().to(DEVICE)
    fused = copy.deepcopy(models.unet).to(DEVICE, dtype, memory_format=torch.channels_last)
    fuse(fused)
    torch.manual_seed(0)
    latents = torch.randn(2, 4, 8, 8, device=DEVICE).to(dtype)
    hidden = models.embed(["a photo of a toy", ""]).to(DEVICE, dtype)
    timesteps = torch.tensor([3, 981], device=DEVICE)
    with torch.no_grad():
        wanted = exact(latents.double(), timesteps, hidden.double(), return_dict=False)[0]
        found = fused(latents, timesteps, hidden, return_dict=False)[0]
    assert distance(found, wanted) < rounding(dtype)


def test_the_embedded_unet_has_the_same_gradients() -> None:
    models = load_models(find_model("mini"))
    exact = copy.deepcopy(models.unet).double().to(DEVICE)
    fused = models.unet.to(DEVICE, memory_format=torch.channels_last)
    fuse(fused)
    torch.manual_seed(0)
    latents, timesteps = torch.randn(1, 4, 8, 8, device=DEVICE), torch.tensor(500, device=DEVICE)
    hidden = models.embed(["a photo of a toy"]).to(DEVICE)
    for unet, dtype in ((exact, torch.double), (fused, FULL)):
        unet(latents.to(dtype), timesteps, hidden.to(dtype), return_dict=False)[0].square().mean().backward()
    ours = dict(fused.named_parameters())
    far = {name: distance(ours[name].grad, wanted.grad) for name, wanted in exact.named_parameters()}
    assert max(far.values()) < 1e-3, max(far, key=far.__getitem__)
