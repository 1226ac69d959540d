"""Base models on disk: where they are, what family they are, and whether they are whole. Without torch."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dbtui.core import paths
from dbtui.core.config import DEFAULT_MODEL
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.fields import AUTO
from dbtui.core.hub_cache import find_snapshot, is_id
from dbtui.core.model_config import check_configs
from dbtui.core.single_file import read_single_file
from dbtui.core.weights import BYTES, read_header, remembered_sha256

MINI = "mini"

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

FAMILIES = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x"}
"""By the width of the prompt's embedding."""

SUPPORTED = "Stable Diffusion 1.x and 2.x (text to image) are supported."


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model, a folder in diffusers layout or a single file, whose files were looked at. Sizes are in pixels.

    ``configs`` are those of unet, vae, text_encoder and scheduler as diffusers names their values;
    ``pad_token`` is in place of the tokenizer's own, if it is not None.
    """

    name: str
    path: Path
    family: str
    prediction: str
    resolution: int
    multiple: int
    weights: dict[str, Path]
    parameters: dict[str, int]
    has_safety_checker: bool
    configs: dict[str, dict[str, Any]]
    tokenizer: Path
    pad_token: str | None = None
    notices: tuple[str, ...] = ()
    """What a person should know before teaching it."""

    @property
    def is_single_file(self) -> bool:
        """Whether all components are in one file, in the original layout (``core.original``)."""
        return self.weights["unet"] == self.path

    def fingerprint(self, *components: str) -> str:
        """A hash of the weights of these components (all): two models with the same one draw the same."""
        parts = components or tuple(COMPONENTS)
        hashes = "".join(f"{part}={remembered_sha256(self.weights[part])}\n" for part in parts)
        if not components and self.prediction != "epsilon":
            hashes += f"prediction={self.prediction}\n"
        return hashlib.sha256(hashes.encode()).hexdigest()

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


@dataclass(frozen=True, slots=True)
class Coming:
    """Weights that are still on the hub: where they will be, and about how many parameters they hold."""

    path: Path
    parameters: int


def find_model(name: str, coming: Mapping[str, Coming] = {}, prediction: str = AUTO) -> BaseModel:
    """The model that ``name`` stands for: mini, a folder, a single file, or an id in the local hub cache.

    ``coming`` are the components whose weights are to be downloaded (``core.download``); ``prediction``
    is what the UNet predicts (epsilon, v_prediction), where that is not to be read from the model (auto).
    Raises UsageError if there is none, DbtuiError if it is damaged or of an unsupported family.
    """
    path = Path(os.path.expanduser(name))
    if name != MINI and os.path.isfile(path):
        return _read_file(name, path.absolute(), prediction)  # a link's target may lack the suffix
    model = _read(name, _folder(name, path), coming)
    if prediction in (AUTO, model.prediction):
        return model
    scheduler = {**model.configs["scheduler"], "prediction_type": prediction}
    return replace(model, prediction=prediction, configs={**model.configs, "scheduler": scheduler})


def _folder(name: str, path: Path) -> Path:
    if name == MINI:
        return paths.mini_dir() / "model"
    if name and os.path.isdir(path):
        return path.resolve()
    if is_id(name):
        return _cached_snapshot(name)
    raise UsageError(
        f"There is no model {printable(name)}",
        "It is neither 'mini', nor a folder, nor a file, nor the id of a model in the hub cache.",
        "Try --model mini, which is always there.",
    )


def _cached_snapshot(name: str) -> Path:
    snapshot = find_snapshot(name)
    if snapshot is None:
        default = "" if name != DEFAULT_MODEL else " It is the default; name another with --model."
        raise UsageError(
            f"The model {name} is not on this machine",
            f"No folder has this name, and the hub cache has no copy. Nothing was downloaded.{default}",
            "Without --offline and HF_HUB_OFFLINE it is downloaded first. --model mini is always there.",
        )
    return snapshot


def weights_names(stem: str) -> tuple[str, ...]:
    """The files that can hold a component's weights, the one to prefer first: training starts from full precision."""
    return f"{stem}.safetensors", f"{stem}.fp16.safetensors"


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


def _read_file(name: str, file: Path, prediction: str) -> BaseModel:
    contents = read_single_file(file, prediction)
    unet, vae = contents.configs["unet"], contents.configs["vae"]
    return BaseModel(
        name=name,
        path=file,
        family=contents.family,
        prediction=contents.configs["scheduler"]["prediction_type"],
        resolution=contents.resolution,
        multiple=_multiple(unet, vae),
        weights=dict.fromkeys(COMPONENTS, file),
        parameters=contents.parameters,
        has_safety_checker=False,
        configs=contents.configs,
        tokenizer=contents.tokenizer,
        pad_token=contents.pad_token,
        notices=contents.notices,
    )


def _multiple(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
    """Pixels that a picture's side must be a multiple of: the VAE and the UNet halve it at each level but one."""
    return 2 ** (len(vae["block_out_channels"]) + len(unet["block_out_channels"]) - 2)


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


def _read(name: str, folder: Path, coming: Mapping[str, Coming] = {}) -> BaseModel:
    index = read_json(folder / "model_index.json")
    check_index(name, index)
    weights = {
        part: coming[part].path if part in coming else _weights_file(folder / part, stem)
        for part, (_, _, stem) in COMPONENTS.items()
    }
    configs = read_configs(folder)
    unet, vae = configs["unet"], configs["vae"]
    return BaseModel(
        name=name,
        path=folder,
        family=FAMILIES.get(unet["cross_attention_dim"], "Stable Diffusion (small)"),
        prediction=configs["scheduler"]["prediction_type"],
        resolution=unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1),
        multiple=_multiple(unet, vae),
        weights=weights,
        parameters={p: coming[p].parameters if p in coming else _count(file) for p, file in weights.items()},
        has_safety_checker=isinstance(index.get("safety_checker"), list) and any(index["safety_checker"]),
        configs=configs,
        tokenizer=folder / "tokenizer",
    )


def _check_channels(unet: dict[str, Any]) -> None:
    if unet.get("in_channels") != 4 or unet.get("out_channels") != 4:
        raise DbtuiError(
            "This model is not supported",
            f"Its UNet takes {printable(unet.get('in_channels'))} channels: an inpainting, depth or upscaling model.",
            SUPPORTED,
        )


def _weights_file(folder: Path, stem: str) -> Path:
    for name in weights_names(stem):
        if (folder / name).is_file():
            return folder / name
    for name in weights_names(stem):
        if (folder / name).is_symlink() and not (folder / name).exists():
            raise DbtuiError(
                "The model's weights are missing",
                f"{printable(folder / name)} is a link that leads nowhere.",
                "Download or copy the model again.",
            )
    others = sorted(
        p.name
        for p in folder.glob("*")
        if p.is_file() and p.suffix in (".bin", ".pt", ".ckpt", ".json", ".safetensors")
    )
    found = f"It has {printable(', '.join(others))}." if others else "There is nothing of the kind."
    raise DbtuiError(
        "The model's weights are missing",
        f"{printable(folder)} has no {stem}.safetensors. {found}",
        "Of a folder only .safetensors files are read, one for each part, since the older formats can run code.",
    )


def _count(file: Path) -> int:
    header = read_header(file)
    if not header:
        raise DbtuiError("A weights file is empty", f"{printable(file)} has no tensors.", "Download it again.")
    return sum(math.prod(shape) for kind, shape in header.values() if kind in BYTES)


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
        _check_plain(file, LARGEST_TOKENIZER)


def _check_plain(file: Path, largest: int) -> None:
    """Raise DbtuiError for what is there and is no file of at most ``largest`` bytes. Raises FileNotFoundError."""
    status = file.stat()
    if stat.S_ISREG(status.st_mode) and status.st_size <= largest:
        return
    what = f"has {status.st_size:,} bytes" if stat.S_ISREG(status.st_mode) else "is no regular file"
    raise DbtuiError("This model is damaged", f"{printable(file)} {what}.", "Download it again.")
