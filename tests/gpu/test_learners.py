"""The fast and the lean learner beside the plain one in 32 bit, on the same noise and timesteps."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")
pytest.importorskip("bitsandbytes")

from dbtui.core.base_model import BaseModel, find_model
from dbtui.engine.graph_learner import GraphLearner
from dbtui.engine.lean_learner import LeanLearner
from dbtui.engine.learner import Learner

Make = Callable[..., Any]
WINDOW = 50
"""Steps over which a loss is averaged."""


def train(learner: Learner, examples: Any, steps: range) -> Tensor:
    taken = [learner.step(step, list(examples.of_step(step))) for step in steps]
    return torch.tensor([each.outcome().loss for each in taken])


def smoothed(losses: Tensor) -> Tensor:
    return losses.unfold(0, WINDOW, WINDOW).mean(1)


def masters(learner: Learner) -> Tensor:
    return torch.cat([weight.flatten() for weight in learner.weights()["unet"].values()])


@pytest.mark.parametrize("options", [{}, {"accumulation": 2, "text_encoder": True, "schedule": "cosine"}])
def test_the_graph_learns_as_the_plain_one_does(make_learner: Make, options: dict[str, Any]) -> None:
    losses = {}
    for kind in (Learner, GraphLearner):
        learner, examples = make_learner(kind, find_model("mini"), **options)
        losses[kind] = train(learner, examples, range(300))
    plain, graph = smoothed(losses[Learner]), smoothed(losses[GraphLearner])
    assert plain[-1] < plain[0], "it learns"
    torch.testing.assert_close(graph, plain, rtol=0.02, atol=0)


def test_stable_diffusion_learns_by_graph_as_it_does_plainly(make_learner: Make, untrained_sd15: BaseModel) -> None:
    losses = {}
    for kind in (Learner, GraphLearner):
        learner, examples = make_learner(kind, untrained_sd15, resolution=256, batch_size=2, learning_rate=2e-5)
        losses[kind] = train(learner, examples, range(300))
        del learner
        gc.collect()
    plain, graph = smoothed(losses[Learner]), smoothed(losses[GraphLearner])
    assert plain[-1] < 0.9 * plain[0], "it learns"
    torch.testing.assert_close(graph, plain, rtol=0.02, atol=0)


def test_the_lean_one_learns_too_and_keeps_no_gradient(make_learner: Make) -> None:
    losses = {}
    for kind in (Learner, LeanLearner):
        learner, examples = make_learner(kind, find_model("mini"))
        losses[kind] = train(learner, examples, range(150))
    assert all(parameter.grad is None for parameter in learner.parameters)
    torch.testing.assert_close(smoothed(losses[LeanLearner]), smoothed(losses[Learner]), rtol=0.03, atol=0)
    assert learner.optimizer._gradients.is_pinned()


@pytest.mark.parametrize("kind", [GraphLearner, LeanLearner])
def test_a_tiny_learning_rate_moves_the_weights_as_in_32_bit(make_learner: Make, kind: type[Learner]) -> None:
    moved = {}
    for each in (Learner, kind):
        learner, examples = make_learner(each, find_model("mini"), learning_rate=1e-7)
        before = masters(learner)
        train(learner, examples, range(5))
        moved[each] = masters(learner) - before
    ours, theirs = moved[kind], moved[Learner]
    assert (ours != 0).float().mean() > 0.5
    assert float(ours.norm()) == pytest.approx(float(theirs.norm()), rel=0.1)
    assert float(torch.dot(ours, theirs) / ours.norm() / theirs.norm()) > 0.7


def test_a_graph_is_resumed_where_it_was(make_learner: Make, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    first, examples = make_learner(GraphLearner, find_model("mini"))
    train(first, examples, range(20))
    save_file(first.weights()["unet"], tmp_path / "unet.safetensors")
    torch.save(first.state(), tmp_path / "state.pt")
    second, _ = make_learner(GraphLearner, find_model("mini"))
    second.load_weights({"unet": tmp_path / "unet.safetensors"})
    second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(masters(second), masters(first))
    went_on, resumed = (train(learner, examples, range(20, 40)) for learner in (first, second))
    # The same data, noise and weights; only the order of sums in a GPU's convolutions may differ.
    torch.testing.assert_close(resumed, went_on, rtol=0.01, atol=0)


def test_stable_diffusion_learns_in_the_least_memory(make_learner: Make, sd15: BaseModel) -> None:
    peaks = {}
    for kind in (GraphLearner, LeanLearner):
        learner, examples = make_learner(kind, sd15, resolution=512, batch_size=1, learning_rate=1e-6)
        losses = train(learner, examples, range(3))
        assert losses.isfinite().all()
        peaks[kind] = torch.cuda.max_memory_allocated()
        del learner
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    assert peaks[LeanLearner] < 0.75 * peaks[GraphLearner]
