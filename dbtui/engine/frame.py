"""A folder in diffusers layout but for its weights: configs, tokenizer and scheduler, as old and new libraries read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
from diffusers import PNDMScheduler, SchedulerMixin
from transformers import CLIPTokenizer

from dbtui.core.base_model import BaseModel
from dbtui.core.model_folder import COMPONENTS
from dbtui.engine.models import Models


def write_frame(folder: Path, models: Models) -> None:
    """Write everything but the weights of ``models`` into ``folder``. Raises OSError."""
    scheduler = scheduler_of(models.base)
    for part in (*COMPONENTS, "tokenizer", "scheduler"):
        (folder / part).mkdir(parents=True)
    for part in ("unet", "vae"):
        _write_json(folder / part / "config.json", json.loads(getattr(models, part).to_json_string()))
    dtype = str(models.text_encoder.dtype).removeprefix("torch.")
    known = {"architectures": ["CLIPTextModel"], "dtype": dtype, "torch_dtype": dtype}  # renamed in transformers 4.56
    _write_json(folder / "text_encoder" / "config.json", {**models.text_encoder.config.to_dict(), **known})
    write_tokenizer(folder / "tokenizer", models.tokenizer)
    _write_json(folder / "scheduler" / "scheduler_config.json", json.loads(scheduler.to_json_string()))
    _write_json(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": diffusers.__version__,
            **{part: [library, *classes] for part, (library, classes, _) in COMPONENTS.items()},
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "scheduler": ["diffusers", type(scheduler).__name__],
            "safety_checker": [None, None],
            "feature_extractor": [None, None],
            "image_encoder": [None, None],
            "requires_safety_checker": False,
        },
    )


def scheduler_of(base: BaseModel) -> Any:
    """The model's own scheduler; PNDM, which the family was published with, where diffusers has none so called."""
    config = base.configs["scheduler"]
    cls = getattr(diffusers, str(config.get("_class_name")), None)
    if not (isinstance(cls, type) and issubclass(cls, SchedulerMixin)):
        cls = PNDMScheduler
    return cls.from_config(config)


def write_tokenizer(folder: Path, tokenizer: CLIPTokenizer) -> None:
    """The tokenizer's files as transformers 5 writes them, and as earlier releases read them.

    Those want the vocabulary and the merges in files of their own, and a list of the special tokens.
    """
    tokenizer.save_pretrained(folder)
    fast = folder / "tokenizer.json"
    if not (folder / "vocab.json").exists() and fast.exists():
        model = json.loads(fast.read_text(encoding="utf-8"))["model"]
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
        (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    _write_json(folder / "special_tokens_map.json", special)
    length = {"model_max_length": tokenizer.model_max_length}
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", **length, **special})


def _write_json(file: Path, values: Mapping[str, Any]) -> None:
    """``values`` but for where the model lay on this machine."""
    told = {key: value for key, value in values.items() if key != "_name_or_path"}
    file.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")
