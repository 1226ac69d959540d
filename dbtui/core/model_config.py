"""What the configs of a model folder may say: sizes that a Stable Diffusion can have, and no part that it has not.

The libraries build whatever a config describes, at any price, so it is looked at before they see it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbtui.core.errors import DbtuiError, printable

MOST_LEVELS = 8


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number from ``low`` to ``high``; with ``each``, one for each level in its place or, if ``alone``, always."""

    low: int
    high: int
    each: bool = False
    alone: bool = True

    def allows(self, value: object) -> bool:
        if isinstance(value, list):
            return self.each and 0 < len(value) <= MOST_LEVELS and all(self._is_one(one) for one in value)
        return self.alone and self._is_one(value)

    def _is_one(self, value: object) -> bool:
        return type(value) is int and self.low <= value <= self.high

    def words(self) -> str:
        if self.low == self.high:
            return f"{self.low:,}"
        return f"{'numbers' if self.each else 'a number'} from {self.low:,} to {self.high:,}"


@dataclass(frozen=True, slots=True)
class Part:
    """A number that is not whole, above 0 and at most ``high``."""

    high: float

    def allows(self, value: object) -> bool:
        return type(value) in (int, float) and math.isfinite(value) and 0 < value <= self.high  # type: ignore[arg-type, operator]

    def words(self) -> str:
        return f"a number above 0 and at most {self.high:g}"


@dataclass(frozen=True, slots=True)
class Words:
    """One of a few words, or with ``each`` one for each level."""

    known: tuple[str, ...]
    each: bool = False

    def allows(self, value: object) -> bool:
        if not self.each:
            return value in self.known
        return isinstance(value, list) and 0 < len(value) <= MOST_LEVELS and all(one in self.known for one in value)

    def words(self) -> str:
        return " or ".join(self.known)


@dataclass(frozen=True, slots=True)
class Nothing:
    """What no Stable Diffusion has, though its config may have a place for it."""

    def allows(self, value: object) -> bool:
        return value is None

    def words(self) -> str:
        return "left out"


Rule = Number | Part | Words | Nothing

CHANNELS = Number(1, 8192, each=True, alone=False)
GROUPS, LAYERS, PIXELS = Number(1, 1024), Number(1, 16), Number(1, 8192)

RULES: dict[str, dict[str, Rule]] = {
    "unet": {
        "block_out_channels": CHANNELS,
        "layers_per_block": LAYERS,
        "cross_attention_dim": Number(1, 8192),
        "attention_head_dim": Number(1, 1024, each=True),
        "norm_num_groups": GROUPS,
        "norm_eps": Part(1.0),
        "downsample_padding": Number(1, 1),
        "mid_block_scale_factor": Part(100.0),
        "sample_size": Number(1, 1024),
        "down_block_types": Words(("CrossAttnDownBlock2D", "DownBlock2D"), each=True),
        "up_block_types": Words(("UpBlock2D", "CrossAttnUpBlock2D"), each=True),
    },
    "vae": {
        "block_out_channels": CHANNELS,
        "layers_per_block": LAYERS,
        "latent_channels": Number(4, 4),
        "in_channels": Number(3, 3),
        "out_channels": Number(3, 3),
        "norm_num_groups": GROUPS,
        "sample_size": PIXELS,
        "scaling_factor": Part(100.0),
        "down_block_types": Words(("DownEncoderBlock2D",), each=True),
        "up_block_types": Words(("UpDecoderBlock2D",), each=True),
    },
    "text_encoder": {
        "vocab_size": Number(1, 1_000_000),
        "hidden_size": Number(1, 8192),
        "intermediate_size": Number(1, 65_536),
        "projection_dim": Number(1, 8192),
        "num_hidden_layers": Number(1, 64),
        "num_attention_heads": Number(1, 256),
        "max_position_embeddings": Number(1, 1024),
        "hidden_act": Words(("quick_gelu", "gelu", "gelu_new", "relu")),
        "layer_norm_eps": Part(1.0),
    },
    "scheduler": {
        "num_train_timesteps": Number(1, 10_000),
        "beta_schedule": Words(("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")),
        "beta_start": Part(1.0),
        "beta_end": Part(1.0),
        "trained_betas": Nothing(),
        "timestep_spacing": Words(("linspace", "leading", "trailing")),
        "steps_offset": Number(0, 1000),
    },
}
"""By component, what a value has to be if it is there."""

NEEDED = {"unet": ("block_out_channels", "cross_attention_dim", "sample_size"), "vae": ("block_out_channels",)}

STRANGERS: dict[str, Any] = {
    "act_fn": "silu", "addition_embed_type": None, "attention_type": "default", "class_embed_type": None,
    "conv_in_kernel": 3, "conv_out_kernel": 3, "cross_attention_norm": None, "dual_cross_attention": False,
    "encoder_hid_dim": None, "encoder_hid_dim_type": None, "mid_block_type": "UNetMidBlock2DCrossAttn",
    "num_attention_heads": None, "num_class_embeds": None, "only_cross_attention": False,
    "resnet_time_scale_shift": "default", "reverse_transformer_layers_per_block": None, "time_cond_proj_dim": None,
    "time_embedding_dim": None, "time_embedding_type": "positional", "transformer_layers_per_block": 1,
}  # fmt: skip
"""Of a UNet's config: what makes another model of it unless it has this value, or none."""


def check_configs(where: str, configs: Mapping[str, Mapping[str, Any]], supported: str) -> None:
    """Raise DbtuiError unless ``configs``, by component, are those of a Stable Diffusion.

    ``where`` they are from, and what is ``supported``, go into the error.
    """
    for part, rules in RULES.items():
        for key in NEEDED.get(part, ()):
            if key not in configs[part]:
                raise _damaged(where, part, f"has no {key}", supported)
        for key, rule in rules.items():
            value = configs[part].get(key)
            if key in configs[part] and not rule.allows(value):
                raise _damaged(
                    where, part, f"says that {key} is {_short(value)}; it should be {rule.words()}", supported
                )
    unet = configs["unet"]
    for key, usual in STRANGERS.items():
        if (value := unet.get(key)) not in (None, usual):
            raise DbtuiError(
                "This model is not supported",
                f"{printable(where)}: the config of its UNet says that {key} is {_short(value)}.",
                supported,
            )
    levels = len(unet["block_out_channels"])
    for key in ("down_block_types", "up_block_types", "attention_head_dim"):
        if isinstance(unet.get(key), Sequence) and len(unet[key]) != levels:
            raise _damaged(where, "unet", f"has {levels} levels and {len(unet[key])} values of {key}", supported)
    _check_divisible(where, configs, supported)


def _check_divisible(where: str, configs: Mapping[str, Mapping[str, Any]], supported: str) -> None:
    """Norms work on groups of channels, and attention on heads of equal width."""
    for part in ("unet", "vae"):
        groups = configs[part].get("norm_num_groups", 32)
        if any(channels % groups for channels in configs[part]["block_out_channels"]):
            raise _damaged(where, part, f"has channels that do not divide into {groups} groups", supported)
    text = configs["text_encoder"]
    width, heads = text.get("hidden_size", 512), text.get("num_attention_heads", 8)
    if width % heads:
        raise _damaged(where, "text_encoder", f"has {heads} heads for a width of {width}", supported)


def _short(value: object) -> str:
    text = printable(value).replace("\n", " ")
    return text if len(text) <= 60 else f"{text[:57]}..."


def _damaged(where: str, part: str, what: str, supported: str) -> DbtuiError:
    return DbtuiError("This model is damaged", f"{printable(where)}: the config of its {part} {what}.", supported)
