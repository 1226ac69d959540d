"""A model's folder in diffusers layout, before its weights: index, configs and tokenizer, and what is refused of them."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbtui.core.errors import DbtuiError, printable
from dbtui.core.model_config import check_configs

COMPONENTS = {
    "unet": ("diffusers", {"UNet2DConditionModel"}, "diffusion_pytorch_model"),
    "vae": ("diffusers", {"AutoencoderKL"}, "diffusion_pytorch_model"),
    "text_encoder": ("transformers", {"CLIPTextModel"}, "model"),
}
"""The parts with weights: library, allowed classes, and how the weights file begins."""

LIBRARIES = ("diffusers", "transformers", "stable_diffusion", None)
"""What an index may name as the home of a part; the third is a folder of diffusers."""

OTHER_FAMILIES = {
    "StableDiffusionXLPipeline": "Stable Diffusion XL",
    "StableDiffusion3Pipeline": "Stable Diffusion 3",
    "StableDiffusionInpaintPipeline": "a Stable Diffusion inpainting model",
    "StableDiffusionUpscalePipeline": "a Stable Diffusion upscaler",
    "FluxPipeline": "FLUX.1",
    "Flux2Pipeline": "FLUX.2",
    "QwenImagePipeline": "Qwen-Image",
    "ZImagePipeline": "Z-Image",
    "PixArtSigmaPipeline": "PixArt-Sigma",
    "SanaPipeline": "Sana",
    "KandinskyV22Pipeline": "Kandinsky 2.2",
}

TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""Either of these is a whole tokenizer."""

LARGEST_CONFIG, LARGEST_TOKENIZER = 1 << 20, 64 << 20
"""Bytes of one file; real ones have thousands, and a few millions."""

SUPPORTED = "Stable Diffusion 1.x and 2.x (text to image) are supported."


def check_index(name: str, index: Mapping[str, Any]) -> None:
    """Raise DbtuiError unless ``model_index.json`` is of a supported family and names no code of its own."""
    pipeline = str(index.get("_class_name", ""))
    if pipeline != "StableDiffusionPipeline":
        what = OTHER_FAMILIES.get(pipeline, f"of the family {printable(pipeline)[:100] or 'unknown'}").replace(
            "\n", " "
        )
        raise DbtuiError("This model is not supported", f"{printable(name)} is {what}.", SUPPORTED)
    for part, (library, classes, _) in COMPONENTS.items():
        entry = index.get(part)
        if not isinstance(entry, list) or len(entry) != 2 or entry[0] != library or str(entry[1]) not in classes:
            raise _own_code(f"Its {part} is {printable(entry)}")
    for part, entry in index.items():
        if isinstance(entry, list) and entry and entry[0] not in LIBRARIES:
            raise _own_code(f"Its {printable(part)} is {printable(entry)}")


def _check_code(folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise DbtuiError for a part whose config asks for code that comes with the model."""
    tokenizer = folder / "tokenizer" / "tokenizer_config.json"
    for part, config in {**configs, "tokenizer": read_json(tokenizer) if tokenizer.exists() else {}}.items():
        if config.get("auto_map"):
            raise _own_code(f"The config of its {part} asks for {printable(config['auto_map'])}")
        _, classes, _ = COMPONENTS.get(part, ("", set(), ""))
        if classes and "_class_name" in config and config["_class_name"] not in classes:
            raise _own_code(f"The config of its {part} asks for {printable(config['_class_name'])}")


def _own_code(what: str) -> DbtuiError:
    what = what.replace("\n", " ")
    return DbtuiError(
        "This model is not supported", f"{what[:200]}, and code that comes with a model is never run.", SUPPORTED
    )


def read_configs(folder: Path) -> dict[str, dict[str, Any]]:
    """The configs of a model folder, by component and of its scheduler; its weights need not be here.

    Raises DbtuiError unless they, and the tokenizer, are those of a Stable Diffusion without code of its own.
    """
    configs = {part: read_json(folder / part / "config.json") for part in COMPONENTS}
    configs["scheduler"] = read_json(folder / "scheduler" / "scheduler_config.json")
    _check_code(folder, configs)
    _check_channels(configs["unet"])
    check_configs(str(folder), configs, SUPPORTED)
    _check_tokenizer(folder / "tokenizer")
    prediction = configs["scheduler"].setdefault("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction"):
        raise DbtuiError(
            "This model is not supported",
            f"It predicts {printable(prediction)}.",
            "epsilon and v_prediction are supported.",
        )
    return configs


def _check_channels(unet: dict[str, Any]) -> None:
    if unet.get("in_channels") != 4 or unet.get("out_channels") != 4:
        raise DbtuiError(
            "This model is not supported",
            f"Its UNet takes {printable(unet.get('in_channels'))} channels: an inpainting, depth or upscaling model.",
            SUPPORTED,
        )


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object of a model's folder. Raises DbtuiError."""
    try:
        _check_plain(file, LARGEST_CONFIG)
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DbtuiError(
            "This is not a model in diffusers layout",
            f"{printable(file)} is missing.",
            "A model folder has model_index.json and the folders unet, vae, text_encoder, tokenizer and scheduler.",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not JSON"
        raise DbtuiError("This model is damaged", f"{printable(file)}: {why}.", "Download it again.") from error
    if not isinstance(value, dict):
        raise DbtuiError("This model is damaged", f"{printable(file)} is not a JSON object.", "Download it again.")
    return value


def _check_tokenizer(folder: Path) -> None:
    """Raise DbtuiError unless the folder of a tokenizer is whole, and has nothing that would be read without end."""
    for files in TOKENIZERS:
        if all((folder / name).exists() for name in files):
            break
    else:
        raise DbtuiError(
            "The model's tokenizer is missing",
            f"{printable(folder)} has neither tokenizer.json nor vocab.json and merges.txt.",
            "Download or copy the model again.",
        )
    for file in folder.iterdir():
        try:
            _check_plain(file, LARGEST_TOKENIZER)
        except OSError as error:  # a link that leads nowhere
            raise DbtuiError(
                "This model is damaged",
                f"{printable(file)}: {printable(error.strerror)}.",
                "Download or copy it again.",
            ) from error


def _check_plain(file: Path, largest: int) -> None:
    """Raise DbtuiError for what is there and is no file of at most ``largest`` bytes. Raises FileNotFoundError."""
    status = file.stat()
    if stat.S_ISREG(status.st_mode) and status.st_size <= largest:
        return
    what = f"has {status.st_size:,} bytes" if stat.S_ISREG(status.st_mode) else "is no regular file"
    raise DbtuiError("This model is damaged", f"{printable(file)} {what}.", "Download it again.")
