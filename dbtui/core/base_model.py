"""Base models on disk: where they are, what family they are, and whether they are whole. Without torch."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbtui.core import paths
from dbtui.core.config import DEFAULT_MODEL
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.weights import BYTES, read_header, remembered_sha256

MINI = "mini"

COMPONENTS = {
    "unet": ("diffusers", {"UNet2DConditionModel"}, "diffusion_pytorch_model"),
    "vae": ("diffusers", {"AutoencoderKL"}, "diffusion_pytorch_model"),
    "text_encoder": ("transformers", {"CLIPTextModel"}, "model"),
}
"""The parts with weights: library, allowed classes, and how the weights file begins."""

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

SUPPORTED = "Stable Diffusion 1.x and 2.x (text to image) are supported."


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model in diffusers layout whose files were looked at. Sizes are in pixels."""

    name: str
    path: Path
    family: str
    prediction: str
    resolution: int
    multiple: int
    weights: dict[str, Path]
    parameters: dict[str, int]
    has_safety_checker: bool

    def fingerprint(self, *components: str) -> str:
        """A hash of the weights of these components (all): two models with the same one draw the same."""
        parts = components or tuple(COMPONENTS)
        hashes = "".join(f"{part}={remembered_sha256(self.weights[part])}\n" for part in parts)
        return hashlib.sha256(hashes.encode()).hexdigest()

    def variant(self, component: str) -> str | None:
        """``fp16`` where the weights file's name says so."""
        match = re.fullmatch(r".+\.(\w+)\.safetensors", self.weights[component].name)
        return match[1] if match else None

    def check_resolution(self, resolution: int) -> int:
        """``resolution``, if the model can draw it. Raises UsageError with the nearest that it can."""
        if resolution % self.multiple:
            near = max(self.multiple, round(resolution / self.multiple) * self.multiple)
            raise UsageError(
                f"data.resolution cannot be {resolution}",
                f"This model draws in multiples of {self.multiple} pixels.",
                f"Try {near}; the model was made for {self.resolution}.",
            )
        return resolution


def find_model(name: str) -> BaseModel:
    """The model that ``name`` stands for: mini, a folder, or an id in the local hub cache.

    Raises UsageError if there is none, DbtuiError if it is damaged or of an unsupported family.
    """
    if name == MINI:
        return _read(name, paths.mini_dir() / "model")
    folder = Path(os.path.expanduser(name))
    if name and os.path.isdir(folder):
        return _read(name, folder.resolve())
    if os.path.isfile(folder):
        raise UsageError(
            f"{printable(name)} is a single file",
            "This version reads models as folders in diffusers layout.",
            "Convert the file to a diffusers folder first.",
        )
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith((".", "/")):
        return _read(name, _cached_snapshot(name))
    raise UsageError(
        f"There is no model {printable(name)}",
        "It is neither 'mini', nor a folder, nor the id of a model in the hub cache.",
        "Try --model mini, which is always there.",
    )


def _cached_snapshot(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError) as error:
        default = "" if name != DEFAULT_MODEL else " It is the default; name another with --model."
        raise UsageError(
            f"The model {printable(name)} is not on this machine",
            f"No folder has this name, and the hub cache has no copy. Nothing was downloaded.{default}",
            f"Fetch it with `hf download {printable(name)}`, or try --model mini, which is always there.",
        ) from error


def _read(name: str, folder: Path) -> BaseModel:
    index = _json(folder / "model_index.json")
    pipeline = str(index.get("_class_name", ""))
    if pipeline != "StableDiffusionPipeline":
        what = OTHER_FAMILIES.get(pipeline, f"of the family {printable(pipeline) or 'unknown'}")
        raise DbtuiError("This model is not supported", f"{printable(name)} is {what}.", SUPPORTED)
    weights = {}
    for part, (library, classes, stem) in COMPONENTS.items():
        entry = index.get(part)
        if not isinstance(entry, list) or len(entry) != 2 or entry[0] != library or str(entry[1]) not in classes:
            raise DbtuiError(
                "This model is not supported",
                f"Its {part} is {printable(entry)}, and code that comes with a model is never run.",
                SUPPORTED,
            )
        weights[part] = _weights_file(folder / part, stem)
    unet, vae = _json(folder / "unet" / "config.json"), _json(folder / "vae" / "config.json")
    scheduler = _json(folder / "scheduler" / "scheduler_config.json")
    try:
        family = _family(unet)
        factor = 2 ** (len(vae["block_out_channels"]) - 1)
        multiple = factor * 2 ** (len(unet["block_out_channels"]) - 1)
        side = unet["sample_size"] * factor
    except (KeyError, TypeError) as error:
        raise DbtuiError(
            "This model is damaged", f"{printable(folder)}: its configs lack {error}.", SUPPORTED
        ) from error
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction"):
        raise DbtuiError(
            "This model is not supported",
            f"It predicts {printable(prediction)}.",
            "epsilon and v_prediction are supported.",
        )
    return BaseModel(
        name=name,
        path=folder,
        family=family,
        prediction=prediction,
        resolution=side,
        multiple=multiple,
        weights=weights,
        parameters={part: _count(file) for part, file in weights.items()},
        has_safety_checker=isinstance(index.get("safety_checker"), list) and any(index["safety_checker"]),
    )


def _family(unet: dict[str, Any]) -> str:
    if unet.get("in_channels") != 4 or unet.get("out_channels") != 4:
        raise DbtuiError(
            "This model is not supported",
            f"Its UNet takes {printable(unet.get('in_channels'))} channels: an inpainting, depth or upscaling model.",
            SUPPORTED,
        )
    width = unet["cross_attention_dim"]
    return {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x"}.get(width, "Stable Diffusion (small)")


def _weights_file(folder: Path, stem: str) -> Path:
    for name in (f"{stem}.safetensors", f"{stem}.fp16.safetensors"):
        if (folder / name).is_file():
            return folder / name
    others = sorted(p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".ckpt", ".json", ".safetensors"))
    found = f"It has {printable(', '.join(others))}." if others else "There is nothing of the kind."
    raise DbtuiError(
        "The model's weights are missing",
        f"{printable(folder)} has no {stem}.safetensors. {found}",
        "Only single safetensors files are read, since the older formats can run code.",
    )


def _count(file: Path) -> int:
    header = read_header(file)
    if not header:
        raise DbtuiError("A weights file is empty", f"{printable(file)} has no tensors.", "Download it again.")
    return sum(math.prod(shape) for kind, shape in header.values() if kind in BYTES)


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DbtuiError(
            "This is not a model in diffusers layout",
            f"{printable(file)} is missing.",
            "A model folder has model_index.json and the folders unet, vae, text_encoder, tokenizer and scheduler.",
        ) from None
    except (OSError, ValueError) as error:
        raise DbtuiError(
            "This model is damaged", f"{printable(file)}: {printable(error)}.", "Download it again."
        ) from error
    if not isinstance(value, dict):
        raise DbtuiError("This model is damaged", f"{printable(file)} is not a JSON object.", "Download it again.")
    return value
