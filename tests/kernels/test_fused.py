"""Fused, a UNet is the UNet it was, and a decoder the decoder: the same picture, the same gradients, the same names."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0

pytest.importorskip("triton")

from exactness import strict_torch  # noqa: F401

from dbtui.engine.decoder import KernelDecoder
from dbtui.engine.fused import fuse
from dbtui.engine.kernels import bias, geglu, group_norm, layer_norm

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def small_unet(linear_projection: bool) -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=16, attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        use_linear_projection=linear_projection,
    ).to(DEVICE)  # fmt: skip


@pytest.mark.parametrize("linear_projection", [False, True])
def test_fused_unet_computes_the_same(linear_projection: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = small_unet(linear_projection)
    fused = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    fuse(fused)
    used = set()
    for module, name in ((bias, "_AddBias"), (geglu, "_Geglu"), (group_norm, "_GroupNorm"), (layer_norm, "_LayerNorm")):
        original = getattr(module, name)
        count = type(name, (), {"apply": staticmethod(lambda *a, o=original, n=name: (used.add(n), o.apply(*a))[1])})
        monkeypatch.setattr(module, name, count)
    x, t = torch.randn(2, 4, 8, 8, device=DEVICE), torch.tensor([10, 700], device=DEVICE)
    hidden = torch.randn(2, 5, 16, device=DEVICE)
    outs = [unet(x, t, hidden, return_dict=False)[0] for unet in (plain, fused)]
    torch.testing.assert_close(outs[1], outs[0], rtol=1e-4, atol=1e-4)
    for out in outs:
        out.square().mean().backward()
    assert used == {"_AddBias", "_Geglu", "_GroupNorm", "_LayerNorm"}
    ours = dict(fused.named_parameters())
    for name, parameter in plain.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(
            ours[name].grad, parameter.grad, rtol=2e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert plain.state_dict().keys() == fused.state_dict().keys()


@pytest.mark.parametrize("side", [6, 7, 9])
def test_a_size_that_halves_unevenly_is_doubled_to_where_it_came_from(side: int) -> None:
    plain = small_unet(False)
    fused = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    fuse(fused)
    x, t, hidden = torch.randn(1, 4, side, 8, device=DEVICE), torch.tensor([3]), torch.randn(1, 5, 16, device=DEVICE)
    outs = [unet(x, t.to(DEVICE), hidden, return_dict=False)[0] for unet in (plain, fused)]
    torch.testing.assert_close(outs[1], outs[0], rtol=1e-4, atol=1e-4)


def test_attention_and_doubling_are_this_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the division at the end of diffusers' attention nor torch's slow doubling is left."""
    unet = small_unet(False).to(memory_format=torch.channels_last)
    fuse(unet)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("not to be called")

    monkeypatch.setattr(torch.nn.functional, "interpolate", refused)
    monkeypatch.setattr(AttnProcessor2_0, "__call__", refused)
    hidden = torch.randn(1, 5, 16, device=DEVICE)
    assert unet(torch.randn(1, 4, 8, 8, device=DEVICE), 1, hidden, return_dict=False)[0].isfinite().all()


@pytest.fixture
def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    made = AutoencoderKL(
        block_out_channels=(32, 64), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=8,
        up_block_types=("UpDecoderBlock2D",) * 2, layers_per_block=1, latent_channels=4, sample_size=16,
    )  # fmt: skip
    return made.to(DEVICE).eval()


def test_a_decoder_on_kernels_makes_the_same_pictures(vae: AutoencoderKL, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    decode = KernelDecoder(vae, said.append, torch.float32)
    plain = torch.nn.functional.group_norm

    def refused(x: torch.Tensor, *rest: object) -> torch.Tensor:
        assert x.dim() == 3, "a norm of an image is torch's"
        return plain(x, *rest)  # type: ignore[arg-type]

    for shape in ((2, 4, 8, 8), (1, 4, 8, 12)):
        latents = torch.randn(shape, device=DEVICE)
        with torch.no_grad():
            wanted = vae.decode(latents, return_dict=False)[0]
        torch.testing.assert_close(decode(latents), wanted, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(torch.nn.functional, "group_norm", refused)
    torch.testing.assert_close(decode(latents), wanted, rtol=1e-4, atol=1e-4)
    assert not said and not decode.given_up


def test_a_decoder_that_differs_is_given_up(vae: AutoencoderKL) -> None:
    said: list[str] = []
    decode = KernelDecoder(vae, said.append, torch.float32)
    latents = torch.randn(1, 4, 8, 8, device=DEVICE)
    with torch.no_grad():
        decode._fused()[0].weight.mul_(1.5)
        wanted = vae.decode(latents, return_dict=False)[0]
    assert torch.equal(decode(latents), wanted) and decode.given_up
    assert len(said) == 1 and "% off" in said[0]
