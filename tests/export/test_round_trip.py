"""What is exported is read back by plain diffusers: every tensor bit for bit, and the same picture."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open

from dbtui.core import paths
from dbtui.core.weights import read_header, read_metadata

pytestmark = pytest.mark.filterwarnings("ignore:.*torch_dtype:FutureWarning")  # the name that all releases know

EXPORTS = [
    ("mini", "diffusers", False), ("mini", "ckpt", True),
    ("sd1", "diffusers", True), ("sd1", "safetensors", False),
    ("sd2", "diffusers", False), ("sd2", "safetensors", True), ("sd2", "ckpt", False),
    ("sd2-file", "diffusers", False), ("sd2-file", "safetensors", False),
]  # fmt: skip
"""Base model, format, and whether in 16 bit."""


def load(path: Path, configs: Path, dtype: torch.dtype) -> StableDiffusionPipeline:
    """The export as somebody without dbtui loads it; a single file with the configs of its base model."""
    options: dict[str, Any] = {"torch_dtype": dtype, "local_files_only": True}
    if path.is_dir():
        return StableDiffusionPipeline.from_pretrained(path, **options)
    return StableDiffusionPipeline.from_single_file(str(path), config=str(configs), **options)


def draw(pipe: StableDiffusionPipeline, prompt: str) -> bytes:
    """From copies of the weights: a CPU computes otherwise, in the last bits, with weights that lie askew in memory."""
    pipe.set_progress_bar_config(disable=True)
    for module in (pipe.unet, pipe.vae, pipe.text_encoder):
        for parameter in module.parameters():
            parameter.data = parameter.data.to(torch.float32, copy=True)
    seed = torch.Generator().manual_seed(7)
    result = pipe(prompt, num_inference_steps=2, width=64, height=64, generator=seed, output_type="np")
    return result.images.tobytes()


@pytest.mark.parametrize(("base", "format", "half"), EXPORTS)
def test_every_tensor_and_a_picture_come_back(base: str, format: str, half: bool, exported: Callable) -> None:
    made = exported(base, format, half)
    dtype = torch.float16 if half else torch.float32
    pipe = load(made.path, made.taught.base, dtype)
    wanted = made.taught.weights()
    expected = load(made.taught.base, made.taught.base, dtype)
    for part, tensors in wanted.items():
        found = {k.removeprefix("text_model."): v for k, v in getattr(pipe, part).state_dict().items()}
        assert found.keys() == tensors.keys()
        for name, tensor in found.items():
            assert tensor.dtype == dtype and torch.equal(tensor, tensors[name].to(dtype)), f"{part}.{name}"
        module = getattr(expected, part)
        for name, tensor in module.state_dict().items():
            tensor.copy_(tensors[name.removeprefix("text_model.")].to(dtype))
    prompt = "a photo of sks toy"
    assert draw(pipe, prompt) == draw(expected, prompt)

    count = sum(tensor.numel() for tensors in wanted.values() for tensor in tensors.values())
    size = paths.folder_size(made.path) if made.path.is_dir() else made.path.stat().st_size
    weights = count * (2 if half else 4)
    assert made.export.size == size and weights < size < weights * 1.05 + (6 << 20)  # the tokenizer has megabytes
    assert made.export.tensors == sum(map(len, wanted.values())) and made.export.picture == 128


@pytest.mark.parametrize(("base", "pad", "tokens"), [("mini", "<|endoftext|>", 3050), ("sd2", "!", 49408)])
def test_the_folder_suits_old_libraries(base: str, pad: str, tokens: int, exported: Callable) -> None:
    """Those of transformers 4 want the prefix, the vocabulary by itself and the special tokens in a list."""
    folder = exported(base, "diffusers", False).path
    names = read_header(folder / "text_encoder" / "model.safetensors")
    assert {name.partition(".")[0] for name in names} == {"text_model"}
    config = json.loads((folder / "text_encoder" / "config.json").read_text())
    assert config["architectures"] == ["CLIPTextModel"] and config["torch_dtype"] == config["dtype"] == "float32"
    vocabulary = json.loads((folder / "tokenizer" / "vocab.json").read_text())
    version, first, *_ = (folder / "tokenizer" / "merges.txt").read_text().splitlines()
    assert len(vocabulary) == tokens and version == "#version: 0.2" and "".join(first.split()) in vocabulary
    special = json.loads((folder / "tokenizer" / "special_tokens_map.json").read_text())
    assert special == {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": pad}  # fmt: skip


def test_the_card_says_how_it_is_used_and_nothing_of_this_machine(exported: Callable) -> None:
    made = exported("sd2-file", "diffusers", False)
    card = (made.path / "README.md").read_text()
    assert "a photo of sks toy" in card and "StableDiffusionPipeline" in card and "v\\_prediction" in card
    assert json.loads((made.path / "dbtui.json").read_text())["recipe"]["base"] == "model.safetensors"
    texts = [file.read_text() for file in made.path.rglob("*") if file.suffix in (".json", ".md")]
    for private in (str(made.taught.home.parent), str(paths.mini_dir()), "_name_or_path"):
        assert not any(private in text for text in texts), private


@pytest.mark.parametrize(
    ("base", "half", "prediction"), [("sd1", False, "epsilon"), ("sd2", True, "v"), ("sd2-file", False, "v")]
)
def test_the_header_says_what_the_file_is_and_how_it_was_made(
    base: str, half: bool, prediction: str, exported: Callable
) -> None:
    made = exported(base, "safetensors", half)
    texts, content = read_metadata(made.path), made.path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert length % 8 == 0
    assert texts["modelspec.hash_sha256"] == "0x" + hashlib.sha256(content[8 + length :]).hexdigest()
    assert (texts["modelspec.sai_model_spec"], texts["modelspec.title"]) == ("1.0.1", "bear")
    assert (texts["modelspec.prediction_type"], texts["modelspec.resolution"]) == (prediction, "64x64")
    assert texts["modelspec.trigger_phrase"] == texts["dbtui.prompt"] == "a photo of sks toy"
    recipe = json.loads(texts["dbtui.recipe"])
    assert recipe["training.learning_rate"] == 1e-4 and texts["dbtui.training.optimizer"] == "adamw"
    for private in (str(made.taught.home.parent), str(paths.mini_dir())):
        assert private.encode() not in content[: 8 + length]
    with safe_open(made.path, framework="pt") as weights:
        names = set(weights.keys())
        assert weights.get_tensor("first_stage_model.decoder.mid.attn_1.q.weight").shape[2:] == (1, 1)
    layout = "transformer.text_model.encoder" if base == "sd1" else "model.transformer.resblocks"
    assert any(name.startswith(f"cond_stage_model.{layout}") for name in names)
    assert "model.diffusion_model.input_blocks.0.0.weight" in names


def test_a_ckpt_holds_tensors_and_texts_alone(exported: Callable) -> None:
    whole = torch.load(exported("mini", "ckpt", True).path, weights_only=True)
    assert set(whole) == {"state_dict", "dbtui"}
    assert whole["dbtui"]["dbtui.training.steps"] == "1" and whole["dbtui"]["modelspec.title"] == "bear"
