"""Stable Diffusion 1.x and 2.x with the real layout of blocks and a few channels: as folder and as single files.

Every weight is drawn from a seed, so that no two tensors are alike. The 2.x model predicts velocity.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbtui.core.single_file import FAMILIES

FORMS = ("model.safetensors", "model.ckpt", "lightning.ckpt")
"""The single files that ``tiny_file`` makes; the last is as training programs of 2022 wrote it."""

SIZES: dict[str, dict[str, Any]] = {
    "unet": {"block_out_channels": [32, 32, 64, 64], "cross_attention_dim": 32, "sample_size": 8},
    "vae": {"block_out_channels": [32, 32, 64, 64], "sample_size": 64},
    "text_encoder": {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1,
    },
}  # fmt: skip


def tiny_configs(family: str) -> dict[str, dict[str, Any]]:
    """The configs of ``sd1`` or ``sd2`` with few channels."""
    configs = json.loads((FAMILIES / f"{family}.json").read_text())
    for part, sizes in SIZES.items():
        configs[part].update(sizes)
    if family == "sd2":
        configs["unet"]["attention_head_dim"] = [1, 1, 1, 1]
    return configs


def make_folder(family: str, folder: Path) -> Path:
    """Write the model in diffusers layout."""
    import torch
    from safetensors.torch import save_file

    from dbtui.core.original import file_name
    from dbtui.engine.models import empty_module

    torch.manual_seed({"sd1": 1, "sd2": 2}[family])
    configs = tiny_configs(family)
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline", "safety_checker": [None, None]}
    for part, (library, kind, stem) in {
        "unet": ("diffusers", "UNet2DConditionModel", "diffusion_pytorch_model"),
        "vae": ("diffusers", "AutoencoderKL", "diffusion_pytorch_model"),
        "text_encoder": ("transformers", "CLIPTextModel", "model"),
    }.items():
        weights = {
            file_name(part, name): torch.randn(tensor.shape) * 0.05 + (tensor.ndim == 1 and "norm" in name)
            for name, tensor in empty_module(part, configs[part]).state_dict().items()
        }
        (folder / part).mkdir(parents=True)
        save_file(weights, folder / part / f"{stem}.safetensors", metadata={"format": "pt"})
        (folder / part / "config.json").write_text(json.dumps(configs[part]))
        index[part] = [library, kind]
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(configs["scheduler"]))
    shutil.copytree(FAMILIES / "tokenizer", folder / "tokenizer")
    if family == "sd2":
        file = folder / "tokenizer" / "tokenizer_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "pad_token": "!"}))
    index |= {"tokenizer": ["transformers", "CLIPTokenizer"]}
    index |= {"scheduler": ["diffusers", configs["scheduler"]["_class_name"]], "feature_extractor": [None, None]}
    index["requires_safety_checker"] = False
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def original_tensors(family: str, folder: Path) -> dict[str, Any]:
    """The model in the original layout, with all that real files of its family also hold."""
    import torch
    from safetensors.torch import load_file

    from dbtui.engine.original import to_original

    parts = {part: load_file(next((folder / part).glob("*.safetensors"))) for part in SIZES}
    tensors = to_original(parts, tiny_configs(family))
    more = {"model_ema.decay": torch.tensor(0.9), "betas": torch.rand(1000)}
    if family == "sd1":
        more["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    else:
        last = "cond_stage_model.model.transformer.resblocks.1."
        for name in [name for name in tensors if name.startswith(last)]:
            more[name.replace("resblocks.1.", "resblocks.2.")] = torch.randn(tensors[name].shape)
        more["cond_stage_model.model.text_projection"] = torch.randn(32, 32)
        more["cond_stage_model.model.logit_scale"] = torch.tensor(4.6)
    return {name: tensor.contiguous() for name, tensor in (tensors | more).items()}


def make_file(family: str, folder: Path, file: Path) -> Path:
    """Write the model of ``folder`` as one of FORMS."""
    import torch
    from safetensors.torch import save_file

    tensors = original_tensors(family, folder)
    if file.name == "model.safetensors":
        save_file(tensors, file, metadata={"modelspec.resolution": "64x64"})
    elif file.name == "model.ckpt":
        torch.save({"state_dict": tensors, "epoch": 3}, file)
    else:
        _save_as_lightning(tensors, file)
    return file


def _save_as_lightning(tensors: dict[str, Any], file: Path) -> None:
    """With a callback's class as a key, objects of modules that are not installed, and weights that share memory."""
    import sys
    import types
    from collections import OrderedDict

    import torch

    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")

    class ModelCheckpoint:
        def __init__(self) -> None:
            self.best = torch.tensor(0.5)

    ModelCheckpoint.__module__, ModelCheckpoint.__qualname__ = module.__name__, "ModelCheckpoint"
    module.ModelCheckpoint = ModelCheckpoint  # type: ignore[attr-defined]
    names = ["pytorch_lightning", "pytorch_lightning.callbacks", module.__name__]
    for name in names:
        sys.modules[name] = module
    try:
        state = OrderedDict(
            (name, torch.nn.Parameter(t) if t.is_floating_point() else t) for name, t in tensors.items()
        )
        torch.save(
            {
                "pytorch-lightning_version": "1.4.2",
                "callbacks": {ModelCheckpoint: {"best_model_path": Path("/a/b"), "object": ModelCheckpoint()}},
                "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
                "state_dict": state,
            },
            file,
        )
    finally:
        for name in names:
            del sys.modules[name]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``tiny_folder("sd1")`` is a model in diffusers layout, made once. No test may change it."""
    made: dict[str, Path] = {}

    def of_family(family: str) -> Path:
        if family not in made:
            made[family] = make_folder(family, tmp_path_factory.mktemp(f"tiny-{family}") / "folder")
        return made[family]

    return of_family


@pytest.fixture(scope="session")
def tiny_file(tiny_folder: Callable[[str], Path]) -> Callable[[str, str], Path]:
    """``tiny_file("sd2", "model.ckpt")`` is the model of ``tiny_folder`` in a single file. No test may change it."""

    def of_form(family: str, form: str = FORMS[0]) -> Path:
        folder = tiny_folder(family)
        file = folder.parent / form
        return file if file.exists() else make_file(family, folder, file)

    return of_form
