"""A whole model in one file: its family by names and shapes, its configs from that family, without torch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbtui.core import original_sizes
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.fields import AUTO
from dbtui.core.original import CLIP, OPENCLIP, PREFIXES, standard_name
from dbtui.core.paths import mini_dir
from dbtui.core.torch_file import is_torch_file, read_torch_file
from dbtui.core.weights import BYTES, is_safetensors, read_header, read_metadata

FAMILIES = Path(__file__).resolve().parent.parent / "families"
VOCABULARY, LENGTH = 49_408, 77
"""Tokens that CLIP knows, and that it reads of a prompt."""

SUFFIXES = (".safetensors", ".ckpt")

FLOATS = {"F64", "F32", "F16", "BF16"}

SUPPORTED = "Single files of Stable Diffusion 1.x and 2.x (text to image) are read."

EMBEDDING = "a textual inversion, which is an addition to a model"

OTHERS = (
    (".time_stack.", "a model that makes films"),
    ("conditioner.embedders.", "Stable Diffusion XL"),
    ("joint_blocks.", "Stable Diffusion 3"),
    ("double_blocks.", "FLUX, or a model built like it"),
    ("double_stream_blocks.", "HiDream"),
    ("motion_modules.", "AnimateDiff, which makes films"),
    ("control_model.", "a ControlNet"),
    ("controlnet_", "a ControlNet"),
    ("lora", "a LoRA, which is an addition to a model"),
    ("hada_w1", "a LoHa, which is an addition to a model"),
    ("lokr_w", "a LoKr, which is an addition to a model"),
    ("label_emb.", "a model that takes more than a prompt"),
    ("position_net.", "GLIGEN, which takes more than a prompt"),
    ("depth_model.", "a depth model"),
    ("emb_params", EMBEDDING),
    ("string_to_param", EMBEDDING),
    ("transformer_blocks.1.", "a larger relative of Stable Diffusion"),
)
"""What a file that is not Stable Diffusion is, by a part of a tensor's name; the first that fits."""

PARTS = (
    ("encoder.down_blocks.", "only the VAE of a model in diffusers layout"),
    ("down_blocks.", "only the UNet of a model in diffusers layout"),
    ("text_model.", "only a text encoder"),
    ("transformer.resblocks.", "only a text encoder"),
    ("ip_adapter.", "an IP-Adapter, which is an addition to a model"),
    ("adapter.body.", "a T2I-Adapter, which is an addition to a model"),
    ("body.0.block1.", "a T2I-Adapter, which is an addition to a model"),
    ("oft_", "an OFT, which is an addition to a model"),
    ("single_transformer_blocks.", "FLUX, or a model built like it"),
    ("model.layers.", "a language model"),
    ("encoder.down.", "only a VAE"),
    ("input_blocks.", "only a UNet"),
)
"""The same of a file in which no name begins as in an original."""

CHANNELS = {9: "an inpainting model", 8: "a model that edits pictures", 7: "an upscaler", 5: "a depth model"}
"""What a UNet with so many channels in is for."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What was found in a file: configs as diffusers names their values, parameters by component."""

    family: str
    configs: dict[str, dict[str, Any]]
    tokenizer: Path
    pad_token: str | None
    parameters: dict[str, int]
    resolution: int
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Family:
    title: str
    configs: str
    tokenizer: Path
    pad_token: str | None


SPELLED = {"unet": "UNet", "vae": "VAE", "text_encoder": "text encoder"}

EMA = "model_ema.diffusion_model"

EMBEDDINGS = {(768,), (1024,), (1280,)}
"""Widths of what the text encoders of 1.x, 2.x and XL know of a token."""

SD1 = _Family("Stable Diffusion 1.x", "sd1.json", FAMILIES / "tokenizer", "<|endoftext|>")
SD2 = _Family("Stable Diffusion 2.x", "sd2.json", FAMILIES / "tokenizer", "!")
MINI = _Family("Stable Diffusion (small)", "", mini_dir() / "model" / "tokenizer", None)
"""What was taught to the embedded model and exported; its configs are in its folder."""

WIDTHS = {768: SD1, 1024: SD2}
"""Of the embedding of prompts, in the published models."""

HEAD = 64
"""Channels for each head, in every attention of both families but in the UNet of 1.x, which has 8 heads at any width."""


def read_shapes(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensors of a file of either format: name to (type, shape). Raises DbtuiError."""
    if is_torch_file(path):
        return {name: (tensor.kind, tensor.shape) for name, tensor in read_torch_file(path).items()}
    if path.suffix.lower() == ".ckpt" and not is_safetensors(path):
        raise DbtuiError(
            "This .ckpt is not in a format that is read",
            f"{printable(path)} is a pickle from before 2020 (torch 1.5), or no model. It was not opened as one, "
            "since such files can run code.",
            "Get the model as a .safetensors file.",
        )
    return read_header(path)


def read_single_file(path: Path, prediction: str) -> Contents:
    """What is in the file ``path``; ``prediction`` is epsilon, v_prediction, or auto for what the model says.

    Raises UsageError for a file of another kind, DbtuiError if it is damaged or of an unsupported family.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{printable(path.name)} is not a model's file",
            "Single files are read by their names: .safetensors and .ckpt. Nothing else was looked at.",
            "Other formats of weights can run code; get the model as a .safetensors file.",
        )
    tensors = read_shapes(path)
    shapes = {
        standard_name(name): shape for name, (kind, shape) in tensors.items() if kind in FLOATS and 0 not in shape
    }
    _check_types(path, {kind for name, (kind, shape) in tensors.items() if name.startswith(tuple(PREFIXES.values()))})
    family, configs = _fill(path, _find_family(path, shapes), shapes)
    said = {} if is_torch_file(path) else read_metadata(path)
    predicts, notices = _prediction(path, family, prediction, said)
    usual = 512 if family is SD2 and predicts == "epsilon" else configs["vae"]["sample_size"]
    side = _resolution(said) or usual
    configs["scheduler"]["prediction_type"] = predicts
    configs["vae"]["sample_size"] = side
    configs["unet"]["sample_size"] = side // 2 ** (len(configs["vae"]["block_out_channels"]) - 1)
    parameters = _parameters(tensors, configs)
    return Contents(family.title, configs, family.tokenizer, family.pad_token, parameters, side, notices)


def _check_types(path: Path, kinds: Collection[str]) -> None:
    """Raise DbtuiError for weights in 8 bit, which are too coarse to learn."""
    if any(kind.startswith("F8") for kind in kinds):
        raise DbtuiError(
            "This file is not supported",
            f"{printable(path)} has weights in 8 bit, which are too coarse to learn.",
            "Get the model in 16 or 32 bit.",
        )


def _find_family(path: Path, shapes: original_sizes.Shapes) -> _Family:
    """Raises DbtuiError with what the file is instead."""
    missing = [part for part, prefix in PREFIXES.items() if not _any_begins(shapes, prefix)]
    marks = OTHERS + PARTS if len(missing) == len(PREFIXES) else OTHERS
    what = next((f"is {words}" for mark, words in marks if any(mark in name for name in shapes)), "")
    if not what and missing:
        what = _what_is_there(shapes, missing)
    if what:
        raise DbtuiError("This file is not supported", f"{printable(path)} {what}.", SUPPORTED)
    openclip = _any_begins(shapes, f"{PREFIXES['text_encoder']}{OPENCLIP}.")
    if openclip == _any_begins(shapes, f"{PREFIXES['text_encoder']}{CLIP}."):
        raise _damaged(path, "its text encoder is neither that of 1.x nor that of 2.x")
    return SD2 if openclip else SD1


def _what_is_there(shapes: original_sizes.Shapes, missing: list[str]) -> str:
    """What a file is of which components are missing, and that no mark tells."""
    if len(missing) < len(PREFIXES):
        averaged = "unet" in missing and _any_begins(shapes, EMA)
        beside = "; the averaged weights (EMA) in it are not read in its place" if averaged else ""
        return f"has no {' and no '.join(SPELLED[part] for part in missing)}: it is a part of a model{beside}"
    # An embedding has a name of its own choice, and the width of a text encoder.
    few = 0 < len(shapes) <= 2 and all(len(shape) <= 2 and shape[-1:] in EMBEDDINGS for shape in shapes.values())
    return f"is {EMBEDDING}" if few else "is no Stable Diffusion model" if shapes else "has no weights that can be used"


def _configs(family: _Family) -> dict[str, dict[str, Any]]:
    if family is not MINI:
        return json.loads((FAMILIES / family.configs).read_text(encoding="utf-8"))
    files = {part: f"{part}/config.json" for part in PREFIXES} | {"scheduler": "scheduler/scheduler_config.json"}
    return {part: json.loads((mini_dir() / "model" / file).read_text(encoding="utf-8")) for part, file in files.items()}


def _any_begins(names: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)


def _fill(path: Path, family: _Family, shapes: original_sizes.Shapes) -> tuple[_Family, dict[str, dict[str, Any]]]:
    """The family, and its configs with the sizes of this file. Raises DbtuiError."""
    try:
        unet, vae = original_sizes.unet_sizes(shapes), original_sizes.vae_sizes(shapes)
        text = original_sizes.text_sizes(shapes, family is SD2)
    except KeyError as error:
        raise _damaged(path, f"it lacks {printable(error.args[0])}") from error
    except original_sizes.LayoutError as error:
        raise _damaged(path, str(error)) from error
    except (IndexError, ValueError) as error:
        raise _damaged(path, "some of its weights have other shapes than those of Stable Diffusion") from error
    channels, width = unet["in_channels"], text["hidden_size"]
    if channels != 4 or unet["out_channels"] != 4:
        what = CHANNELS.get(channels, "a model of another kind")
        raise DbtuiError("This file is not supported", f"Its UNet takes {channels} channels: it is {what}.", SUPPORTED)
    if unet["cross_attention_dim"] != width or WIDTHS.get(width, family) is not family:
        raise _damaged(path, "its text encoder is not that of its UNet")
    if (text["vocab_size"], text["max_position_embeddings"]) != (VOCABULARY, LENGTH):
        _check_mini(text)
        family = MINI
    configs = _configs(family)
    for part, sizes in (("unet", unet), ("vae", vae), ("text_encoder", text)):
        configs[part].update(sizes)
    if family is SD2:
        configs["unet"]["attention_head_dim"] = [_heads(width) for width in unet["block_out_channels"]]
    if family is not MINI:
        configs["text_encoder"]["num_attention_heads"] = _heads(width)
    return family, configs


def _check_mini(text: Mapping[str, Any]) -> None:
    """Raise DbtuiError unless the text encoder is the embedded model's, whose words are known beside those of CLIP."""
    mini = _configs(MINI)["text_encoder"]
    if any(mini[key] != value for key, value in text.items()):
        raise DbtuiError(
            "This file is not supported",
            f"Its text encoder reads {text['max_position_embeddings']} of {text['vocab_size']:,} tokens, "
            f"CLIP {LENGTH} of {VOCABULARY:,}: which words they stand for is not in the file.",
            "Use the model's folder in diffusers layout, which has its tokenizer.",
        )


def _heads(width: int) -> int:
    return max(1, width // HEAD)


def _damaged(path: Path, why: str) -> DbtuiError:
    return DbtuiError(
        "This file is damaged, or not laid out as Stable Diffusion is",
        f"{printable(path)}: {why}. Nothing was loaded.",
        SUPPORTED,
    )


def _prediction(path: Path, family: _Family, asked: str, said: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """What the UNet predicts, and what is to be said about it: as asked, as the file says, or by its family."""
    if asked != AUTO:
        return asked, ()
    word = str(said.get("modelspec.prediction_type", ""))
    if word:
        return "v_prediction" if word.startswith("v") else "epsilon", ()
    if family is not SD2:
        return "epsilon", ()
    config = path.with_suffix(".yaml")
    if config.is_file():
        with open(config, encoding="utf-8", errors="replace") as file:
            velocity = re.search(r"^\s*parameterization:\s*['\"]?v\b", file.read(1 << 16), re.MULTILINE)
        return "v_prediction" if velocity else "epsilon", ()
    return "v_prediction", (
        "The file does not say what the model predicts; it is taken for one of 768 pixels (v_prediction). "
        "For a base model of 512 pixels: --set model.prediction=epsilon",
    )


def _resolution(said: Mapping[str, Any]) -> int:
    """The side that the file says its model was made for; 0 if it does not say."""
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", str(said.get("modelspec.resolution", "")))
    return min(int(match[1]), int(match[2])) if match else 0


def _parameters(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]], configs: Mapping[str, Mapping[str, Any]]
) -> dict[str, int]:
    """How many weights each component takes from the file."""
    layers = configs["text_encoder"]["num_hidden_layers"]
    unused = re.compile(rf".*(\.resblocks\.{layers}\..*|\.text_projection|\.logit_scale|\.position_ids|\.attn_mask)")
    return {
        part: sum(
            math.prod(shape)
            for name, (kind, shape) in tensors.items()
            if name.startswith(prefix) and kind in BYTES and not unused.fullmatch(name)
        )
        for part, prefix in PREFIXES.items()
    }
