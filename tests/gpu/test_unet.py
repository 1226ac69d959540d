"""The UNet on this program's kernels beside the plain one, at the embedded model's size and at Stable Diffusion 1.5's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

pytest.importorskip("triton")

from exactness import distance, strict_torch  # noqa: F401

from dbtui.core.base_model import BaseModel, find_model
from dbtui.core.benchmark import SD15
from dbtui.engine.fused import fuse
from dbtui.engine.models import load_models

HALVES = [torch.float16, torch.bfloat16]


def embedded() -> tuple[UNet2DConditionModel, tuple[int, ...], tuple[int, ...]]:
    return load_models(find_model("mini")).unet.to("cuda"), (4, 4, 32, 32), (4, 32, 256)


def large() -> tuple[UNet2DConditionModel, tuple[int, ...], tuple[int, ...]]:
    torch.manual_seed(0)
    with torch.device("cuda"):
        return UNet2DConditionModel(**SD15["unet"]), (2, 4, 64, 64), (2, 77, 768)


def passes(unet: UNet2DConditionModel, inputs: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """What it predicts, and the gradient of each weight."""
    latents, timesteps, hidden, given = inputs
    kind = next(unet.parameters()).dtype
    out = unet(latents.to(kind), timesteps, hidden.to(kind), return_dict=False)[0]
    (out * given.to(kind)).sum().backward()
    gradients = {name: weight.grad for name, weight in unet.named_parameters() if weight.grad is not None}
    return out.detach(), gradients


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("make", [embedded, large])
def test_it_is_no_further_from_the_exact_than_the_plain_one(make: Callable[[], Any], dtype: torch.dtype) -> None:
    exact, shape, words = make()
    inputs = [torch.randn(shape, device="cuda"), torch.randint(0, 1000, shape[:1], device="cuda")]
    inputs += [torch.randn(words, device="cuda"), torch.randn(shape, device="cuda") / 100]
    plain = copy.deepcopy(exact).to(dtype)
    fused = copy.deepcopy(exact).to(dtype, memory_format=torch.channels_last)
    fuse(fused)
    (wanted, gradients), (usual, usual_gradients), (found, found_gradients) = (
        passes(unet, inputs) for unet in (exact, plain, fused)
    )
    assert distance(found, wanted) < 2 * distance(usual, wanted) + torch.finfo(dtype).eps
    assert found_gradients.keys() == gradients.keys()

    def far(some: dict[str, Tensor]) -> float:
        return distance(
            *(torch.cat([part[name].flatten().float() for name in gradients]) for part in (some, gradients))
        )

    assert far(found_gradients) < 2 * far(usual_gradients) + torch.finfo(dtype).eps


@pytest.mark.parametrize("shapes", [(2, 64), (18, 64), (9, 96)])
def test_a_prediction_by_graph_is_that_of_the_unet(sd15: BaseModel, shapes: tuple[int, int]) -> None:
    """Stable Diffusion 1.5's, for one picture, for a grid with guidance, and for a larger one without."""
    from dbtui.engine.denoiser import GraphDenoiser

    count, side = shapes
    unet = load_models(sd15).unet.to("cuda", torch.float16)
    said: list[str] = []
    denoise = GraphDenoiser(unet, said.append)
    hidden = torch.randn(count, 77, 768, device="cuda", dtype=torch.float16)
    for timestep in (981, 500, 20):
        latents = torch.randn(count, 4, side, side, device="cuda", dtype=torch.float16)
        at = torch.tensor(timestep, device="cuda")
        with torch.no_grad():
            wanted = unet(latents, at, hidden, return_dict=False)[0]
        assert distance(denoise(latents, at, hidden), wanted) < 0.01
    assert not said and not denoise.given_up
