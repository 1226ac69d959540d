"""The structure of a Stable Diffusion model, counted from its configs: parameters, operations and activations.

Counted as diffusers builds ``UNet2DConditionModel`` and transformers ``CLIPTextModel``. What autograd keeps of a
layer for its backward pass is counted operation by operation: in full precision each keeps its input; under autocast
norms and activations run in 32 bit and keep a 32-bit copy of theirs, and each matrix product a 16-bit copy of its
own; with this program's kernels (``engine.fused``) everything is in 16 bit, and norm and activation are one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dbtui.core.base_model import BaseModel
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.model_folder import COMPONENTS

UNET = {
    "layers_per_block": 2, "transformer_layers_per_block": 1, "down_block_types": None, "up_block_types": None,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
}  # fmt: skip
TEXT = {
    "vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
    "max_position_embeddings": 77,
}  # fmt: skip
"""What the libraries take where a config leaves it out."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes for one picture: ``full`` in 32 bit, ``mixed`` under 16-bit autocast, ``fused`` with this program's kernels."""

    full: float
    mixed: float
    fused: float


NOTHING = Kept(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Layer:
    """A part of a network that is computed, and checkpointed, as one.

    ``operations`` of a forward pass of one picture (a multiplication and its addition are two), what it
    ``kept`` for the backward pass, and its ``entry``: all that is left of that with gradient checkpointing.
    """

    parameters: int
    operations: float
    kept: Kept
    entry: Kept
    attention: bool = False


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the configs of a base model say about its size. ``parameters`` are those of each component's weights file."""

    parameters: Mapping[str, int]
    channels: tuple[int, ...]
    """Of the UNet at each level, the finest first."""
    layers_per_level: int
    down_attends: tuple[bool, ...]
    up_attends: tuple[bool, ...]
    middle_attends: bool
    transformer_depth: int
    prompt_width: int
    latent_factor: int
    """Pixels along a side for one latent."""
    vae_channels: tuple[int, ...]
    text_width: int
    text_inner: int
    text_depth: int
    text_tokens: int
    text_vocabulary: int

    @classmethod
    def of(cls, base: BaseModel) -> Architecture:
        """That of ``base``. Raises DbtuiError if its configs make no sense."""
        try:
            unet, vae, text = (base.configs[part] for part in COMPONENTS)
            return cls.from_configs(unet, vae, text, base.parameters)
        except (KeyError, TypeError, ValueError) as error:
            raise DbtuiError(
                "This model is damaged",
                f"{printable(base.path)}: its configs do not say how it is built ({printable(error)}).",
                "Download or copy it again.",
            ) from error

    @classmethod
    def from_configs(
        cls, unet: Mapping[str, Any], vae: Mapping[str, Any], text: Mapping[str, Any], parameters: Mapping[str, int]
    ) -> Architecture:
        unet, text = {**UNET, **unet}, {**TEXT, **text}
        channels = tuple(unet["block_out_channels"])
        levels = len(channels)
        down = unet["down_block_types"] or ["CrossAttnDownBlock2D"] * (levels - 1) + ["DownBlock2D"]
        up = unet["up_block_types"] or ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (levels - 1)
        return cls(
            parameters=dict(parameters),
            channels=channels,
            layers_per_level=int(unet["layers_per_block"]),
            down_attends=tuple("Attn" in kind for kind in down),
            up_attends=tuple("Attn" in kind for kind in up),
            middle_attends="Attn" in (unet["mid_block_type"] or ""),
            transformer_depth=int(unet["transformer_layers_per_block"]),
            prompt_width=int(unet["cross_attention_dim"]),
            latent_factor=2 ** (len(vae["block_out_channels"]) - 1),
            vae_channels=tuple(vae["block_out_channels"]),
            text_width=int(text["hidden_size"]),
            text_inner=int(text["intermediate_size"]),
            text_depth=int(text["num_hidden_layers"]),
            text_tokens=int(text["max_position_embeddings"]),
            text_vocabulary=int(text["vocab_size"]),
        )

    def unet(self, resolution: int) -> tuple[Layer, ...]:
        """The UNet's layers for pictures of ``resolution`` pixels a side, in the order in which they are computed."""
        return _unet(self._structure, resolution // self.latent_factor)

    def text_encoder(self) -> tuple[Layer, ...]:
        """The text encoder's layers for one prompt."""
        return _text_encoder(self.text_width, self.text_inner, self.text_depth, self.text_tokens, self.text_vocabulary)

    @property
    def _structure(self) -> tuple[Any, ...]:
        return (
            self.channels, self.layers_per_level, self.down_attends, self.up_attends, self.middle_attends,
            self.transformer_depth, self.prompt_width, self.text_tokens,
        )  # fmt: skip


@lru_cache(maxsize=64)
def _unet(structure: tuple[Any, ...], side: int) -> tuple[Layer, ...]:
    channels, depth, down_attends, up_attends, middle_attends, blocks, prompt_width, tokens = structure
    time_width = 4 * channels[0]

    def resnet(inner: int, outer: int, checkpointed: bool = True) -> Layer:
        return _resnet(inner, outer, time_width, area, checkpointed)

    def attention(width: int) -> Iterator[Layer]:
        return _transformer(width, prompt_width, tokens, area, blocks)

    layers = []
    area, width = side * side, channels[0]
    layers.append(_conv(4, width, area, extra=_linear(width, time_width) + _linear(time_width, time_width)))
    skips = [width]
    for level, outer in enumerate(channels):
        for _ in range(depth):
            layers.append(resnet(width, outer))
            width = outer
            if down_attends[level]:
                layers += attention(width)
            skips.append(width)
        if level < len(channels) - 1:
            area //= 4
            layers.append(_conv(width, width, area, reads=4 * area))
            skips.append(width)
    layers.append(resnet(width, width, checkpointed=False))
    if middle_attends:
        layers += attention(width)
    layers.append(resnet(width, width))
    for level, outer in enumerate(reversed(channels)):
        for _ in range(depth + 1):
            layers.append(resnet(width + skips.pop(), outer))
            width = outer
            if up_attends[level]:
                layers += attention(width)
        if level < len(channels) - 1:
            area *= 4
            layers.append(_conv(width, width, area))
    # The last norm: its input and its output before the activation.
    values = width * area
    layers.append(_conv(width, 4, area, extra=2 * width, norm=Kept(8.0 * values, 8.0 * values, 2.0 * values)))
    return tuple(layers)


def _linear(inner: int, outer: int, bias: bool = True) -> int:
    return inner * outer + (outer if bias else 0)


def _conv(inner: int, outer: int, area: int, reads: int = 0, extra: int = 0, norm: Kept = NOTHING) -> Layer:
    """A 3x3 convolution to ``area`` positions, which keeps its input of ``reads`` positions."""
    reads = reads or area
    values = inner * reads
    kept = Kept(4.0 * values + norm.full, 2.0 * values + norm.mixed, 2.0 * values + norm.fused)
    return Layer(9 * inner * outer + outer + extra, 18.0 * inner * outer * area, kept, kept)


def _resnet(inner: int, outer: int, time_width: int, area: int, checkpointed: bool) -> Layer:
    """Twice norm, activation and convolution, each of which keeps its input; a 1x1 convolution where widths differ."""
    shortcut = inner != outer
    parameters = 2 * inner + 9 * inner * outer + 2 * outer + _linear(time_width, outer) + 9 * outer * outer + 2 * outer
    parameters += inner * outer + outer if shortcut else 0
    operations = 2.0 * area * outer * (9 * inner + 9 * outer + (inner if shortcut else 0))
    # In 32 bit the norm, the activation and the convolution: 12 bytes a value. Under autocast 4 + 4 + 2,
    # and the 16-bit input itself where the shortcut reads it. Fused, norm and convolution: 2 + 2.
    values = float(area * (inner + outer))
    kept = Kept(12 * values, 10 * values + (2.0 * area * inner if shortcut else 0), 4 * values)
    entry = Kept(4.0 * area * inner, 2.0 * area * inner, 2.0 * area * inner)
    return Layer(parameters, operations, kept, entry if checkpointed else kept)


def _transformer(width: int, prompt_width: int, tokens: int, area: int, blocks: int) -> Iterator[Layer]:
    """Norm and projection in; blocks of self-attention, cross-attention and a gated feed-forward; projection out."""
    values = float(area * width)
    into = Kept(8 * values, 6 * values, 4 * values)
    yield Layer(2 * width + _linear(width, width), 2 * values * width, into, into, attention=True)
    parameters = 6 * width + 4 * width * width + width  # three norms; self-attention
    parameters += 2 * width * width + 2 * prompt_width * width + width  # cross-attention
    parameters += _linear(width, 8 * width) + _linear(4 * width, width)  # feed-forward
    projections = 2 * values * (6 * width + 12 * width) + 4.0 * tokens * prompt_width * width
    products = 4 * values * (area + tokens)
    # Values of the width of the stream: three norms with their outputs, q, k, v and the attention's output, q and
    # output again, and in the feed-forward 8 before the gate, 4 of it and 4 after it. Under autocast the norms keep
    # 32-bit inputs, and q, k and v a 16-bit copy each of what they read. Fused, the gate's own output is not kept.
    kept = Kept(
        (6 + 4 + 2 + 16) * 4 * values,
        3 * 4 * values + (3 + 4 + 1 + 2 + 1 + 16) * 2 * values,
        (6 + 4 + 2 + 8 + 4) * 2 * values,
    )
    entry = Kept(4 * values, 2 * values, 2 * values)
    for _ in range(blocks):
        yield Layer(parameters, projections + products, kept, entry, attention=True)
    out = Kept(4 * values, 2 * values, 2 * values)
    yield Layer(_linear(width, width), 2 * values * width, out, out, attention=True)


@lru_cache(maxsize=8)
def _text_encoder(width: int, inner: int, depth: int, tokens: int, vocabulary: int) -> tuple[Layer, ...]:
    values = float(tokens * width)
    parameters = 4 * _linear(width, width) + _linear(width, inner) + _linear(inner, width) + 4 * width
    operations = 2 * values * (4 * width + 2 * inner) + 4 * values * tokens
    wide = float(tokens * inner)
    # Two norms with their outputs, q, k, v and the attention's output; before and after the activation, which is
    # quick_gelu, x * sigmoid(1.702 x): four tensors.
    kept = Kept(32 * values + 16 * wide, 30 * values + 8 * wide, 16 * values + 8 * wide)
    layer = Layer(parameters, operations, kept, Kept(4 * values, 4 * values, 2 * values))
    words = Layer((vocabulary + tokens) * width + 2 * width, 0.0, NOTHING, NOTHING)
    return (words, *[layer] * depth)
