"""The model that is measured, and where the time of a whole training goes."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_models
import torch
from diffusers import StableDiffusionPipeline
from transformers import PretrainedConfig

from dbtui.core.events import Ended, Phase, Step
from dbtui.engine import bench
from dbtui.engine.bench_whole import parts


def test_the_random_model_is_one_that_other_programs_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers' training script looks for the text encoder's class in its config."""
    small = {part: sizes | tiny_models.SIZES[part] for part, sizes in bench.SD15.items()}
    monkeypatch.setattr(bench, "SD15", small)
    folder = bench.write_random_model(tmp_path / "model")
    assert PretrainedConfig.from_pretrained(folder, subfolder="text_encoder").architectures == ["CLIPTextModel"]
    pipe = StableDiffusionPipeline.from_pretrained(folder, use_safetensors=True, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    assert pipe.tokenizer.model_max_length == 77
    (picture,) = pipe("a toy", num_inference_steps=1, height=64, width=64).images
    assert picture.size == (64, 64)


def test_every_second_of_a_training_is_in_one_part() -> None:
    step = {"loss": 1.0, "instance_loss": 1.0, "learning_rate": 1.0, "grad_norm": 1.0, "seconds": 1.0, "epoch": 0.0}
    events = [
        Phase(time=12, name="loading the model"), Phase(time=15, name="training"), Step(time=16, step=1, **step),
        Phase(time=17, name="sampling"), Phase(time=20, name="training"), Ended(time=25, reason="done", step=2),
    ]  # fmt: skip
    found = parts(events, 10, 26)
    assert found == {"starting": 2, "loading the model": 3, "training": 2 + 6, "sampling": 3}
    assert sum(found.values()) == 16
