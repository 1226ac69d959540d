"""The learner of a small GPU, against the plain one: the same losses, all but the same weights, the same files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

pytest.importorskip("triton")
pytest.importorskip("bitsandbytes")

from dbtui.core.base_model import find_model
from dbtui.core.config import TrainingConfig
from dbtui.engine import fused
from dbtui.engine.examples import Examples
from dbtui.engine.latents import Latents
from dbtui.engine.lean_learner import LeanLearner
from dbtui.engine.learner import Learner, NotFiniteError
from dbtui.engine.machine import Plan
from dbtui.engine.models import load_models

HAS_GPU = torch.cuda.is_available()
PROMPTS = ["a photo of sks toy", "a photo of a toy"]


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    if not HAS_GPU:  # Triton's interpreter takes its time; the kernels have tests of their own
        monkeypatch.setattr(fused, "fuse", lambda unet: None)


def latents(count: int, seed: int) -> Latents:
    draw = torch.Generator().manual_seed(seed)
    mean = torch.randn(count, 4, 4, 4, generator=draw)
    return Latents(mean, torch.full_like(mean, 0.1), tuple((i,) for i in range(count)), tuple("abcde"[:count]))


def make(
    kind: type[Learner], model: Path, prior: bool = False, photos: Latents | None = None, **training: Any
) -> tuple[Learner, Examples]:
    config = TrainingConfig(**{"steps": 10, "batch_size": 1, "learning_rate": 1e-4, **training})
    models = load_models(find_model(str(model)))
    accelerator = Accelerator(cpu=not HAS_GPU)
    models.to(accelerator.device)
    lean = kind is LeanLearner
    plan = Plan(accelerator.device.type, "bf16" if lean else "no", "adamw8bit" if lean else "adamw", lean)
    learner = kind(models, config, 0.5, PROMPTS[: 2 if prior else 1], plan, accelerator)
    examples = Examples(photos or latents(3, 0), latents(4, 1) if prior else None, config, 0.18215, 1000)
    learner.warm_up(list(examples.of_step(0)), lambda done, total: None)
    return learner, examples


def train(learner: Learner, examples: Examples, steps: range) -> list[float]:
    return [learner.step(step, list(examples.of_step(step))).outcome().loss for step in steps]


def distance(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> float:
    return math.sqrt(sum(float((some[name] - others[name]).square().sum()) for name in some))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulation": 2, "prior": True, "min_snr_gamma": 5.0},
        {"text_encoder": True, "text_encoder_rate": 0.5},
    ],
    ids=["plain", "prior", "text encoder"],
)
def test_learns_what_the_plain_learner_learns(shallow_model: Path, options: dict[str, Any]) -> None:
    plain, examples = make(Learner, shallow_model, **options)
    start = {c: {n: w.clone() for n, w in part.items()} for c, part in plain.weights().items()}
    wanted = train(plain, examples, range(3))
    lean, examples = make(LeanLearner, shallow_model, **options)
    lean.rehearse(list(examples.of_step(0)))
    assert all(torch.equal(w, start[c][n]) for c, part in lean.weights().items() for n, w in part.items())
    losses = train(lean, examples, range(3))
    assert losses == pytest.approx(wanted, rel=0.02)
    ours, theirs = lean.weights(), plain.weights()
    assert {c: set(part) for c, part in ours.items()} == {c: set(part) for c, part in theirs.items()}
    for component in theirs:
        moved = distance(theirs[component], start[component])
        # Adam's first steps are all but signs, and the sign of a gradient that is almost nothing is chance.
        assert 0 < distance(theirs[component], ours[component]) < 0.5 * moved


def test_no_gradient_stays_on_the_device(shallow_model: Path) -> None:
    learner, examples = make(LeanLearner, shallow_model, accumulation=2)
    train(learner, examples, range(1))
    assert all(parameter.grad is None for parameter in learner.parameters)
    learner.rehearse(list(examples.of_step(1)))
    assert all(parameter.grad is None for parameter in learner.parameters)


def test_resumes_where_it_was(shallow_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    first, examples = make(LeanLearner, shallow_model)
    train(first, examples, range(2))
    save_file(first.weights()["unet"], tmp_path / "unet.safetensors")
    torch.save(first.state(), tmp_path / "state.pt")
    second, _ = make(LeanLearner, shallow_model)
    second.load_weights({"unet": tmp_path / "unet.safetensors"})
    second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    losses = [train(learner, examples, range(2, 4)) for learner in (first, second)]
    assert losses[0] == losses[1]
    ours, theirs = first.weights()["unet"], second.weights()["unet"]
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_loss_that_is_no_number_names_its_picture_and_changes_nothing(shallow_model: Path) -> None:
    photos = latents(2, 0)
    photos.mean[1, 0, 0, 0] = math.nan
    learner, examples = make(LeanLearner, shallow_model, photos=photos, batch_size=2)
    before = {name: weight.clone() for name, weight in learner.weights()["unet"].items()}
    with pytest.raises(NotFiniteError, match="loss") as raised:
        learner.step(0, list(examples.of_step(0)))
    assert raised.value.names == ["b"]
    after = learner.weights()["unet"]
    assert all(torch.equal(before[name], after[name]) for name in before)
