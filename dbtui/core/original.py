"""Where each tensor of a Stable Diffusion model is in the layout of the original releases: names only.

The originals (CompVis for 1.x, Stability AI with OpenCLIP's text encoder for 2.x) number the blocks of the
UNet through; diffusers nests them. Both follow from the config, so nothing here lists a model's layers.
Names on the diffusers side are those of files: the text encoder's begin with ``text_model.``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PREFIXES = {
    "unet": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "text_encoder": "cond_stage_model.",
}
"""How the names of each component begin in an original file."""

CLIP, OPENCLIP = "transformer.text_model", "model"
"""Below the text encoder's prefix: OpenAI's CLIP in 1.x, OpenCLIP in 2.x."""

QKV = ("q_proj", "k_proj", "v_proj")
"""Query, key and value of the text encoder, which OpenCLIP keeps as one tensor, in this order along dimension 0."""

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}

VAE_RESNET = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2", "conv_shortcut": "nin_shortcut"}

VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}

EARLY_VAE_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""What the first diffusers releases called them; many folders still do."""

OPENCLIP_LAYER = {
    "layer_norm1": "ln_1",
    "self_attn": "attn",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an original file has a tensor.

    ``part`` numbers the third of the tensor that it is along dimension 0 (``QKV``); a ``pointwise`` one
    is kept as a convolution, [out, in, 1, 1], where diffusers has a matrix, [out, in].
    """

    name: str
    part: int | None = None
    pointwise: bool = False


def places(component: str, names: Iterable[str], config: Mapping[str, Any]) -> dict[str, Place]:
    """The place of each tensor of ``component``, whose diffusers config is ``config``.

    Raises KeyError with a name that the original layout has no place for.
    """
    modules = MODULES[component](config)
    openclip = component == "text_encoder" and is_openclip(config)
    return {name: _openclip_place(name, modules) if openclip else _place(component, name, modules) for name in names}


def is_openclip(text_config: Mapping[str, Any]) -> bool:
    """Whether originals keep this text encoder in OpenCLIP's layout: those of 2.x, told by their activation."""
    return text_config.get("hidden_act", "quick_gelu") != "quick_gelu"


def file_name(component: str, name: str) -> str:
    """The name that files written today have, for a name in any diffusers folder or in memory."""
    if component == "text_encoder":
        return name if name.startswith("text_model.") else f"text_model.{name}"
    if component == "vae" and ".attentions." in name:
        head, early, leaf = name.rpartition(".")[0].rpartition(".")[0], name.split(".")[-2], name.split(".")[-1]
        return f"{head}.{EARLY_VAE_ATTENTION[early]}.{leaf}" if early in EARLY_VAE_ATTENTION else name
    return name


def standard_name(name: str) -> str:
    """The name of a tensor in an original file as most files have it.

    Some leave out a level of 1.x's text encoder, some call the attention of the VAE as diffusers does.
    """
    if ".mid.attn_1." in name:
        head, _, tail = name.partition(".mid.attn_1.")
        module, _, leaf = tail.rpartition(".")
        module = EARLY_VAE_ATTENTION.get(module, module)
        return f"{head}.mid.attn_1.{VAE_ATTENTION.get(module, module)}.{leaf}"
    head = f"{PREFIXES['text_encoder']}transformer."
    bare = name.startswith((f"{head}embeddings.", f"{head}encoder.", f"{head}final_layer_norm."))
    return f"{head}text_model.{name.removeprefix(head)}" if bare else name


def _place(component: str, name: str, modules: Mapping[str, str]) -> Place:
    module, _, leaf = name.rpartition(".")
    pointwise = component == "vae" and ".attentions." in name and leaf == "weight" and not module.endswith("group_norm")
    return Place(f"{PREFIXES[component]}{_translate(module, modules)}.{leaf}", pointwise=pointwise)


def _openclip_place(name: str, modules: Mapping[str, str]) -> Place:
    module, _, leaf = name.rpartition(".")
    parent, _, last = module.rpartition(".")
    prefix = PREFIXES["text_encoder"]
    if last in QKV:
        return Place(f"{prefix}{_translate(parent, modules)}.in_proj_{leaf}", part=QKV.index(last))
    if last == "position_embedding":
        return Place(f"{prefix}{OPENCLIP}.positional_embedding")
    return Place(f"{prefix}{_translate(module, modules)}.{leaf}")


def _translate(module: str, modules: Mapping[str, str]) -> str:
    """``module`` with the longest of its beginnings that ``modules`` knows exchanged."""
    head = module
    while head not in modules:
        head, dot, _ = head.rpartition(".")
        if not dot:
            raise KeyError(module)
    return modules[head] + module[len(head) :]


def _unet(config: Mapping[str, Any]) -> dict[str, str]:
    down, up, depth = config["down_block_types"], config["up_block_types"], config["layers_per_block"]
    modules = {
        "conv_in": "input_blocks.0.0",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "mid_block.attentions.0": "middle_block.1",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }
    modules.update(_inside("mid_block.resnets.0", "middle_block.0", RESNET))
    modules.update(_inside("mid_block.resnets.1", "middle_block.2", RESNET))
    number = 1
    for level, kind in enumerate(down):
        for layer in range(depth):
            modules.update(_inside(f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{number}.0", RESNET))
            if "Attn" in kind:
                modules[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{number}.1"
            number += 1
        if level < len(down) - 1:
            modules[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
            number += 1
    number = 0
    for level, kind in enumerate(up):
        for layer in range(depth + 1):
            modules.update(_inside(f"up_blocks.{level}.resnets.{layer}", f"output_blocks.{number}.0", RESNET))
            if "Attn" in kind:
                modules[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{number}.1"
            number += 1
        if level < len(up) - 1:
            after = 2 if "Attn" in kind else 1
            modules[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{number - 1}.{after}.conv"
    return modules


def _vae(config: Mapping[str, Any]) -> dict[str, str]:
    levels, depth = len(config["block_out_channels"]), config["layers_per_block"]
    modules = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    for half in ("encoder", "decoder"):
        modules.update({f"{half}.conv_in": f"{half}.conv_in", f"{half}.conv_out": f"{half}.conv_out"})
        modules[f"{half}.conv_norm_out"] = f"{half}.norm_out"
        modules.update(_inside(f"{half}.mid_block.attentions.0", f"{half}.mid.attn_1", VAE_ATTENTION))
        for layer in (0, 1):
            original = f"{half}.mid.block_{layer + 1}"
            modules.update(_inside(f"{half}.mid_block.resnets.{layer}", original, VAE_RESNET))
    for level in range(levels):
        down, up = f"encoder.down.{level}", f"decoder.up.{levels - 1 - level}"
        for layer in range(depth):
            block = f"encoder.down_blocks.{level}.resnets.{layer}"
            modules.update(_inside(block, f"{down}.block.{layer}", VAE_RESNET))
        for layer in range(depth + 1):
            modules.update(_inside(f"decoder.up_blocks.{level}.resnets.{layer}", f"{up}.block.{layer}", VAE_RESNET))
        modules[f"encoder.down_blocks.{level}.downsamplers.0.conv"] = f"{down}.downsample.conv"
        modules[f"decoder.up_blocks.{level}.upsamplers.0.conv"] = f"{up}.upsample.conv"
    return modules


def _text_encoder(config: Mapping[str, Any]) -> dict[str, str]:
    if not is_openclip(config):
        return {"text_model": CLIP}
    modules = {
        "text_model.embeddings.token_embedding": f"{OPENCLIP}.token_embedding",
        "text_model.final_layer_norm": f"{OPENCLIP}.ln_final",
    }
    for layer in range(config["num_hidden_layers"]):
        original = f"{OPENCLIP}.transformer.resblocks.{layer}"
        modules.update(_inside(f"text_model.encoder.layers.{layer}", original, OPENCLIP_LAYER))
    return modules


def _inside(module: str, original: str, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((f"{module}.{ours}", f"{original}.{theirs}") for ours, theirs in names.items())


MODULES = {"unet": _unet, "vae": _vae, "text_encoder": _text_encoder}
"""For each component: its modules in diffusers, and what the original layout calls them below the prefix."""
