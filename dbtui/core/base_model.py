"""Base models on disk: where they are, what family they are, and whether they are whole. Without torch."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dbtui.core import paths
from dbtui.core.config import DEFAULT_MODEL
from dbtui.core.errors import DbtuiError, UsageError, printable, printable_line
from dbtui.core.fields import AUTO
from dbtui.core.hub_cache import find_snapshot, is_id
from dbtui.core.model_folder import COMPONENTS, check_index, read_configs, read_json
from dbtui.core.single_file import read_single_file
from dbtui.core.weights import BYTES, read_header, remembered_sha256

MINI = "mini"

FAMILIES = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x"}
"""By the width of the prompt's embedding."""


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
        _hint(name),
    )


def _hint(name: str) -> str:
    """What ``name`` may have meant: the page of a model, or an id with a revision."""
    match = re.fullmatch(
        r"(?:https?://[^/]+/([^/]+/[^/@:?#]+)(?:/.*)?|([^/@:]+/[^/@:]+?))(?:[@:?#].*|\s*)", name, re.DOTALL
    )
    meant = match and (match[1] or match[2])
    if meant and is_id(meant):
        return f"Did you mean {meant}? A model of the hub is named owner/model, and its newest version is used."
    return "Try --model mini, which is always there."


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
    found = f"It has {printable_line(', '.join(others))}." if others else "There is nothing of the kind."
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
