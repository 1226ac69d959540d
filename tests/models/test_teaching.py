"""A single file of Stable Diffusion 2.x from the command line: taught, with the class beside it, and asked for pictures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dbtui.core import paths
from dbtui.core.base_model import find_model
from dbtui.core.config import Config
from dbtui.core.library import find_sound_concept
from dbtui.core.subjects import SUBJECTS
from dbtui.core.weights import read_header
from dbtui.jobs.begin import check

BEAR = SUBJECTS["teddy-bear"]

SETTINGS = {
    "data.resolution": 64,
    "prior.enabled": "true",
    "prior.class_images": 1,
    "prior.steps": 1,
    "training.steps": 2,
    "training.batch_size": 1,
    "training.text_encoder": "true",
    "training.min_snr_gamma": 5,
    "training.optimizer": "adamw",
    "sampling.every": 2,
    "sampling.count": 1,
    "sampling.steps": 1,
}


def dbtui(*arguments: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "dbtui", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_a_velocity_model_in_one_file_is_taught_and_drawn_from(
    tiny_file: Callable[..., Path], tmp_path: Path, home: Path
) -> None:
    from safetensors.torch import load_file

    file = tmp_path / "v2.ckpt"
    file.symlink_to(tiny_file("sd2", "lightning.ckpt"))
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    command = ["train", BEAR.folder, "--model", file, "--name", "bear", "--prompt", BEAR.prompt, *settings]
    command += ["--class-prompt", BEAR.class_prompt]
    (tmp_path / "v2.yaml").write_text("model:\n  params:\n    timesteps: 1000\n")  # that says epsilon
    said = dbtui(*command, "--set", "model.prediction=v_prediction").stderr
    assert "Stable Diffusion 2.x" in said and "model.prediction" not in said
    concept = find_sound_concept("bear")
    assert (concept.prediction, concept.base) == ("v_prediction", str(file))
    assert concept.base_fingerprint == find_model(str(file), prediction="v_prediction").fingerprint()
    taught = read_header(concept.weights("text_encoder"))
    assert len(taught) == 36 and all(name.startswith("text_model.") for name in taught)
    before = load_file(tiny_file("sd2").parent / "folder" / "unet" / "diffusion_pytorch_model.safetensors")
    after = load_file(concept.weights("unet"))
    assert before.keys() == after.keys() and any((before[name] != after[name]).any() for name in before)
    dbtui("sample", "bear", BEAR.prompt, "--rows", "1", "--cols", "2", "--steps", "2", "--out", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["000.png", "001.png", "grid.png"]


def test_a_model_that_cannot_be_loaded_leaves_no_folder_for_its_pictures(
    tiny_file: Callable[..., Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(tiny_file("sd1"))
    del tensors["model.diffusion_model.middle_block.2.in_layers.0.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "mine").mkdir()
    for place in ([], ["--out", tmp_path / "new"], ["--out", tmp_path / "mine"]):
        command = ["sample", tmp_path / "model.safetensors", "a dog", "--rows", "1", "--cols", "1", *place]
        done = subprocess.run([sys.executable, "-m", "dbtui", *map(str, command)], capture_output=True, text=True)
        assert done.returncode == 1 and "is missing" in done.stderr
    assert not any(paths.pictures_dir().rglob("*")) and not (tmp_path / "new").exists()
    assert (tmp_path / "mine").is_dir(), "it was there before"


def test_what_was_taken_for_granted_is_said_before_the_run_starts(
    tiny_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from dbtui.commands.teach import _describe

    config = Config().replace({"model.base": str(tiny_file("sd2")), "data.folder": str(BEAR.folder)})
    _describe(check(config))
    assert "--set model.prediction=epsilon" in " ".join(capsys.readouterr().err.split())
    checked = check(config.replace({"model.prediction": "epsilon"}))
    _describe(checked)
    assert "Note" not in capsys.readouterr().err
    assert checked.config.model.prediction == "epsilon"
