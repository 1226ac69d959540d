"""What only a real GPU can show. Without one everything here is skipped; docs/gpu.md says how to run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from dbtui.core.base_model import BaseModel, find_model
from dbtui.core.benchmark import SD15
from dbtui.core.config import DataConfig, TrainingConfig
from dbtui.core.memory import CONTEXT
from dbtui.core.subjects import SUBJECTS
from dbtui.core.weights import sha256
from dbtui.engine.__main__ import ALLOCATOR

BEAR = SUBJECTS["teddy-bear"]


@pytest.fixture(scope="session", autouse=True)
def gpu(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Before everything else that a test here asks for; kernels are compiled once for all tests and their processes."""
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    for library in ("triton", "bitsandbytes"):
        pytest.importorskip(library)
    assert os.environ.get("TRITON_INTERPRET", "0") != "1", "the kernels would be interpreted"
    os.environ.setdefault("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("kernels")))
    torch._C._accelerator_setAllocatorSettings(ALLOCATOR)  # as in the trainer's process; the environment has been read


@pytest.fixture(autouse=True)
def memory_given_back(gpu: None) -> Iterator[None]:
    """Nothing of a test is on the GPU in the next."""
    import gc

    yield
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


@pytest.fixture(scope="session")
def sd15(gpu: None, tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """Stable Diffusion 1.5's architecture with random weights."""
    from dbtui.engine.bench import write_random_model

    return find_model(str(write_random_model(tmp_path_factory.mktemp("sd15") / "model")))


@pytest.fixture(scope="session")
def untrained_sd15(sd15: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """The same with a UNet that has its first weights, as torch chooses them: it can learn."""
    from diffusers import UNet2DConditionModel

    folder = tmp_path_factory.mktemp("untrained") / "model"
    shutil.copytree(sd15.path, folder, ignore=shutil.ignore_patterns("unet"))
    torch.manual_seed(0)
    with torch.device("cuda"):
        UNet2DConditionModel(**SD15["unet"]).half().save_pretrained(folder / "unet")
    return find_model(str(folder))


@pytest.fixture
def dbtui() -> Callable[..., dict[str, Any]]:
    """``dbtui("ls")`` is what the command answers as JSON. The command must succeed."""

    def run(*arguments: str, code: int = 0) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "dbtui", *arguments, "--json"],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=280,
        )  # fmt: skip
        assert done.returncode == code, done.stderr[-4000:]
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    return run


@pytest.fixture
def make_learner() -> Callable[..., Any]:
    """``make_learner(kind, base, **training)`` is a learner of the bear's photos that is ready, and its examples."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    from dbtui.engine.examples import Examples
    from dbtui.engine.latents import Source, encode_pictures
    from dbtui.engine.learner import Learner
    from dbtui.engine.machine import Plan
    from dbtui.engine.models import load_models

    def make(kind: type[Learner], base: BaseModel, resolution: int = 128, **training: Any) -> Any:
        config = TrainingConfig(**{"learning_rate": 1e-4, "steps": 1000, **training})
        split = kind is not Learner
        lean = kind.__name__ == "LeanLearner"
        plan = Plan(
            "cuda", "bf16" if split else "no", "adamw8bit" if lean else "adamw", False, split and not lean, lean
        )
        AcceleratorState._reset_state(reset_partial_state=True)
        accelerator = Accelerator(mixed_precision=plan.precision)
        models = load_models(base).to("cuda")
        photos = [Source(path, sha256(path)) for path in sorted(BEAR.folder.glob("*.jpg"))]
        latents = encode_pictures(models, photos, resolution, DataConfig(), lambda done, total: None)
        examples = Examples(latents, None, config, models.vae.config.scaling_factor, len(models.alphas))
        learner = kind(models, config, 0.5, [BEAR.prompt], plan, accelerator)
        learner.warm_up(list(examples.of_step(0)), lambda done, total: None)
        return learner, examples

    return make


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """``card(12e9)`` leaves this process as many bytes of the GPU as a card of that size would."""
    total, ask = torch.cuda.mem_get_info()[1], torch.cuda.mem_get_info

    def limit(size: float) -> None:
        # The fraction is of what torch allocates; a card of that size has the driver on it too.
        allowed = int(size) - CONTEXT["cuda"]
        if allowed > ask()[0]:
            pytest.skip(f"the GPU has no {size / 1e9:.1f} GB free")
        torch.cuda.set_per_process_memory_fraction(allowed / total)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (allowed - torch.cuda.memory_reserved(), int(size)))

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.fixture
def folder(home: Path) -> Path:
    """A folder for pictures."""
    made = home.parent / "pictures"
    made.mkdir()
    return made
