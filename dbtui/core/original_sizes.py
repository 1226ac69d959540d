"""What the shapes in an original file say about its model: the sizes that a diffusers config has.

How many heads an attention has is in no shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dbtui.core.original import CLIP, OPENCLIP, PREFIXES

Shapes = Mapping[str, tuple[int, ...]]
"""Of the tensors by name."""


class LayoutError(ValueError):
    """The blocks are not in the order of Stable Diffusion."""


def unet_sizes(shapes: Shapes) -> dict[str, Any]:
    """Of the UNet. Raises KeyError for a tensor that is missing, LayoutError, IndexError for a shape of another kind."""
    prefix = PREFIXES["unet"]
    blocks = f"{prefix}input_blocks"
    count = _count(shapes, f"{blocks}.")
    downsamplers = [n for n in range(count) if f"{blocks}.{n}.0.op.weight" in shapes]
    levels = len(downsamplers) + 1
    depth, rest = divmod(count - levels, levels)
    if rest or depth < 1 or downsamplers != [(depth + 1) * n for n in range(1, levels)]:
        raise LayoutError("the blocks of its UNet are in another order")
    firsts = [level * (depth + 1) + 1 for level in range(levels)]
    attends = [f"{blocks}.{n}.1.proj_in.weight" in shapes for n in firsts]
    channels = [shapes[f"{blocks}.{n}.0.out_layers.3.weight"][0] for n in firsts]
    middle = f"{prefix}middle_block.1"
    return {
        "in_channels": shapes[f"{blocks}.0.0.weight"][1],
        "out_channels": shapes[f"{prefix}out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": depth,
        "down_block_types": ["CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        "cross_attention_dim": shapes[f"{middle}.transformer_blocks.0.attn2.to_k.weight"][1],
        "use_linear_projection": len(shapes[f"{middle}.proj_in.weight"]) == 2,
    }


def vae_sizes(shapes: Shapes) -> dict[str, Any]:
    """Of the VAE. Raises as ``unet_sizes``."""
    down = f"{PREFIXES['vae']}encoder.down"
    levels = _count(shapes, f"{down}.")
    return {
        "block_out_channels": [shapes[f"{down}.{n}.block.0.conv2.weight"][0] for n in range(levels)],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": _count(shapes, f"{down}.0.block."),
        "latent_channels": shapes[f"{PREFIXES['vae']}decoder.conv_in.weight"][1],
    }


def text_sizes(shapes: Shapes, openclip: bool) -> dict[str, Any]:
    """Of the text encoder. Raises as ``unet_sizes``, and ValueError."""
    if openclip:
        top = f"{PREFIXES['text_encoder']}{OPENCLIP}."
        words, places = "token_embedding.weight", "positional_embedding"
        layers, wide = "transformer.resblocks.", "mlp.c_fc.weight"
    else:
        top = f"{PREFIXES['text_encoder']}{CLIP}."
        words, places = "embeddings.token_embedding.weight", "embeddings.position_embedding.weight"
        layers, wide = "encoder.layers.", "mlp.fc1.weight"
    vocabulary, width = shapes[top + words]
    depth = _count(shapes, top + layers)
    # A whole OpenCLIP encoder, which ends in its projection, has a last layer that 2.x does not use.
    unused = 1 if openclip and f"{top}text_projection" in shapes else 0
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": shapes[f"{top}{layers}0.{wide}"][0],
        "num_hidden_layers": depth - unused,
        "max_position_embeddings": shapes[top + places][0],
    }


def _count(names: Iterable[str], prefix: str) -> int:
    """How many numbers follow ``prefix``. Raises LayoutError unless they are 0, 1, 2 and so on."""
    pattern = re.compile(re.escape(prefix) + r"(\d{1,3})\.")
    numbers = {int(match[1]) for name in names if (match := pattern.match(name))}
    if numbers != set(range(len(numbers))):
        raise LayoutError("some of its blocks are missing")
    return len(numbers)
