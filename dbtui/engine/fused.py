"""The UNet and the VAE's decoder with norms, biases and gates on this program's kernels: the same function and weights."""

from __future__ import annotations

import os

from diffusers import UNet2DConditionModel
from diffusers.models.activations import GEGLU
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.autoencoders.vae import Decoder
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn
from torch.nn import functional

from dbtui.core import paths
from dbtui.engine.kernels.bias import add_bias, linear
from dbtui.engine.kernels.geglu import geglu
from dbtui.engine.kernels.group_norm import group_norm
from dbtui.engine.kernels.layer_norm import layer_norm


def fuse(model: UNet2DConditionModel | Decoder) -> None:
    """Change how a UNet or the decoder of a VAE computes, in place; names and weights stay.

    For channels-last activations.
    """
    os.environ.setdefault("TRITON_CACHE_DIR", str(paths.make_private(paths.cache_dir() / "kernels")))
    for module in list(model.modules()):
        for kind, forward in FORWARDS.items():
            if type(module) is kind and SUITS.get(kind, _any)(module):
                module.forward = forward.__get__(module)
    for module in model.modules():
        if isinstance(module, Transformer2DModel):
            module.norm.forward = _group_norm.__get__(module.norm)
            module._get_output_for_continuous_inputs = _transformer_output.__get__(module)
    if isinstance(model.conv_act, nn.SiLU):
        model.conv_norm_out.forward = _group_norm_silu.__get__(model.conv_norm_out)
        model.conv_act = nn.Identity()


def _any(module: nn.Module) -> bool:
    return True


def _plain_resnet(block: ResnetBlock2D) -> bool:
    timeless = block.time_emb_proj is None  # as in the VAE, where no embedding is added in any way
    usual = block.upsample is None and block.downsample is None and (timeless or block.time_embedding_norm == "default")
    silu = isinstance(block.nonlinearity, nn.SiLU) and not block.skip_time_act
    return usual and silu and block.output_scale_factor == 1.0 and block.dropout.p == 0


def _plain_attention(layer: Attention) -> bool:
    norms = (layer.group_norm, layer.spatial_norm, layer.norm_cross, layer.norm_q, layer.norm_k)
    usual = isinstance(layer.processor, AttnProcessor2_0) and not layer.residual_connection
    return usual and not any(norms) and layer.rescale_output_factor == 1.0 and layer.to_out[1].p == 0


def _plain_upsampling(layer: Upsample2D) -> bool:
    return layer.interpolate and layer.norm is None and not layer.use_conv_transpose and layer.name == "conv"


def _resnet(self: ResnetBlock2D, x: Tensor, temb: Tensor | None) -> Tensor:
    """Norm and SiLU in one; the first convolution's bias and the time embedding are the second norm's shift."""
    shift = self.conv1.bias.expand(len(x), -1)
    if self.time_emb_proj is not None and temb is not None:
        shift = shift + functional.linear(functional.silu(temb), self.time_emb_proj.weight, self.time_emb_proj.bias)
    hidden = _norm(self.norm1, x, silu=True)
    hidden = _convolve(self.conv1, hidden)
    hidden = _norm(self.norm2, hidden, silu=True, shift=shift)
    hidden = _convolve(self.conv2, hidden)
    bias = self.conv2.bias
    if self.conv_shortcut is not None:
        x, bias = _convolve(self.conv_shortcut, x), bias + self.conv_shortcut.bias
    return add_bias(hidden, bias, x)


def _norm(norm: nn.GroupNorm, x: Tensor, silu: bool, shift: Tensor | None = None) -> Tensor:
    return group_norm(x, norm.weight, norm.bias, norm.num_groups, norm.eps, silu=silu, shift=shift)


def _convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """The convolution without its bias."""
    return functional.conv2d(x, layer.weight, None, layer.stride, layer.padding)


def _conv(self: nn.Conv2d, x: Tensor) -> Tensor:
    return add_bias(_convolve(self, x), self.bias)


def _group_norm(self: nn.GroupNorm, x: Tensor) -> Tensor:
    return _norm(self, x, silu=False)


def _group_norm_silu(self: nn.GroupNorm, x: Tensor) -> Tensor:
    return _norm(self, x, silu=True)


def _transformer_output(
    self: Transformer2DModel, *, hidden_states: Tensor, residual: Tensor, height: int, width: int, **_: int
) -> Tensor:
    """The last layer of a transformer, whose bias is added with the residual; diffusers' own copies to channels first."""
    if self.use_linear_projection:
        hidden_states = functional.linear(hidden_states, self.proj_out.weight)
    image = hidden_states.unflatten(1, (height, width)).permute(0, 3, 1, 2)
    if not self.use_linear_projection:
        image = _convolve(self.proj_out, image)
    return add_bias(image, self.proj_out.bias, residual)


def _attention(
    self: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, attention_mask: None = None
) -> Tensor:
    """As diffusers' own, which divides by one at the end: a pass over the memory."""
    seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
    heads = [
        values.unflatten(2, (self.heads, -1)).transpose(1, 2)
        for values in (self.to_q(hidden_states), self.to_k(seen), self.to_v(seen))
    ]
    attended = functional.scaled_dot_product_attention(*heads, attn_mask=attention_mask)
    return self.to_out[0](attended.transpose(1, 2).flatten(2))


def _upsample(self: Upsample2D, x: Tensor, output_size: tuple[int, int] | None = None) -> Tensor:
    """Each pixel four times by one copy in the order of memory, for which torch has no fast kernel."""
    n, channels, height, width = x.shape
    if output_size is not None and tuple(output_size) != (2 * height, 2 * width):
        return Upsample2D.forward(self, x, output_size)
    pixels = x.permute(0, 2, 3, 1)[:, :, None, :, None].expand(-1, -1, 2, -1, 2, -1)
    image = pixels.reshape(n, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)
    return self.conv(image) if self.use_conv else image


def _layer_norm(self: nn.LayerNorm, x: Tensor) -> Tensor:
    return layer_norm(x, self.weight, self.bias, self.eps)


def _linear(self: nn.Linear, x: Tensor) -> Tensor:
    return functional.linear(x, self.weight) if self.bias is None else linear(x, self.weight, self.bias)


def _geglu(self: GEGLU, x: Tensor) -> Tensor:
    return geglu(self.proj(x))


FORWARDS = {
    ResnetBlock2D: _resnet,
    nn.Conv2d: _conv,
    nn.LayerNorm: _layer_norm,
    nn.Linear: _linear,
    GEGLU: _geglu,
    Attention: _attention,
    Upsample2D: _upsample,
}
"""How each kind of module computes here."""

SUITS = {ResnetBlock2D: _plain_resnet, Attention: _plain_attention, Upsample2D: _plain_upsampling}
"""Which modules of a kind are as Stable Diffusion has them, where there are others."""
