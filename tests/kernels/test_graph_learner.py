"""The learner of an NVIDIA GPU, against the plain one: the same losses, the same weights, the same files.

Without a GPU what would be replayed from a graph is run, and torch does what the kernels do, since Triton's
interpreter takes its time; the kernels have tests of their own.
"""

from __future__ import annotations

import contextlib
import math
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator

pytest.importorskip("triton")

from dbtui.core.base_model import find_model
from dbtui.core.config import TrainingConfig
from dbtui.engine import fused, graph_learner
from dbtui.engine.examples import Batch, Examples
from dbtui.engine.graph_learner import GraphLearner
from dbtui.engine.latents import Latents
from dbtui.engine.learner import Learner, NotFiniteError, Outcome
from dbtui.engine.machine import Plan
from dbtui.engine.models import Models, load_models, weights_of
from dbtui.engine.optimizer_state import as_plain
from dbtui.engine.ranks import ALONE, Ranks
from dbtui.engine.split_adamw import SplitAdamW

HAS_GPU = torch.cuda.is_available()
PROMPTS = ["a photo of sks toy", "a photo of a toy"]


class Again:
    """Stands for a graph: runs the work again, which puts gradients elsewhere each time."""

    def __init__(self, work: Callable[[], None], pool: Any = None) -> None:
        self.replay = work
        if isinstance(work, partial):  # gradients, which are there once a graph of them is; an update is a method
            work()

    def pool(self) -> None:
        return None


class Here:
    """Stands for an event of a GPU that has nothing to wait for."""

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass


def step_in_torch(optimizer: SplitAdamW) -> None:
    """AdamW on the masters of ``optimizer``, with its state where its kernel has it."""
    gradients = [p.grad.float() for p in optimizer.parameters]
    optimizer.norm.copy_(torch.stack([g.norm() for g in gradients]).norm())
    optimizer._sound &= optimizer.norm.isfinite()
    if not optimizer._sound:
        return
    optimizer._steps += 1
    scale, steps = min(1.0, optimizer._max_norm / float(optimizer.norm)), float(optimizer._steps)
    rates = dict(zip(optimizer._owners.tolist(), optimizer._rates.tolist(), strict=True))
    for index, gradient in enumerate(gradients):
        layout = optimizer.parameters[index].stride()
        first, second = (
            optimizer._part(state, index).as_strided(gradient.shape, layout)
            for state in (optimizer.first, optimizer.second)
        )
        first.lerp_(gradient * scale, 0.1)
        second.mul_(0.999).add_((gradient * scale).square(), alpha=0.001)
        weight = optimizer.master(index) * (1 - rates[index] * optimizer._decay)
        weight -= rates[index] / (1 - 0.9**steps) * first / ((second / (1 - 0.999**steps)).sqrt() + 1e-8)
        optimizer.load_master(index, weight)


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    if HAS_GPU:
        return
    monkeypatch.setattr(fused, "fuse", lambda unet: None)
    monkeypatch.setattr(graph_learner, "captured", Again)
    monkeypatch.setattr(graph_learner, "side_stream", contextlib.nullcontext)
    monkeypatch.setattr(graph_learner, "_send_home", lambda numbers: (numbers.clone(), Here()))
    monkeypatch.setattr(SplitAdamW, "step", step_in_torch)
    monkeypatch.setattr(Batch, "pinned", lambda batch: batch.to(torch.device("cpu")))


def latents(count: int, seed: int) -> Latents:
    draw = torch.Generator().manual_seed(seed)
    mean = torch.randn(count, 4, 4, 4, generator=draw)
    return Latents(mean, torch.full_like(mean, 0.1), tuple((i,) for i in range(count)), tuple("abcde"[:count]))


class Together(Ranks):
    """One of two processes, which are threads here: they meet wherever something is added up."""

    class Table:
        def __init__(self) -> None:
            self.barrier = threading.Barrier(2, timeout=120)
            self.laid: list[list[torch.Tensor]] = [[], []]
            self.said: list[Any] = [None, None]

    def __init__(self, index: int, table: Table) -> None:
        super().__init__(index, 2)
        self._table = table

    def add_up(self, tensors: list[torch.Tensor]) -> Any:
        table = self._table
        table.laid[self.index] = [tensor.clone() for tensor in tensors]
        table.barrier.wait()
        assert [t.shape for t in table.laid[0]] == [t.shape for t in table.laid[1]], "both send the same at a time"
        sums = [mine + theirs for mine, theirs in zip(*table.laid, strict=True)]
        table.barrier.wait()
        for tensor, total in zip(tensors, sums, strict=True):
            tensor.copy_(total)
        return SimpleNamespace(wait=lambda: None)

    def gather(self, value: Any) -> list[Any]:
        table = self._table
        table.said[self.index] = value
        table.barrier.wait()
        answers = list(table.said)
        table.barrier.wait()
        return answers


def make(
    kind: type[Learner],
    model: Path,
    prior: bool = False,
    photos: Latents | None = None,
    ranks: Ranks = ALONE,
    models: Models | None = None,
    **training: Any,
) -> tuple[Learner, Examples]:
    config = TrainingConfig(**{"steps": 10, "batch_size": 1, "learning_rate": 1e-4, **training})
    models = models or load_models(find_model(str(model)))
    accelerator = Accelerator(cpu=not HAS_GPU)
    models.to(accelerator.device)
    plan = Plan("cuda" if HAS_GPU else "cpu", "bf16" if kind is GraphLearner else "no", "adamw", False)
    learner = kind(models, config, 0.5, PROMPTS[: 2 if prior else 1], plan, accelerator, ranks)
    examples = Examples(photos or latents(3, 0), latents(4, 1) if prior else None, config, 0.18215, 1000, ranks)
    learner.warm_up(list(examples.of_step(0)), lambda done, total: None)
    return learner, examples


def train(learner: Learner, examples: Examples, steps: range) -> list[float]:
    return [learner.step(step, list(examples.of_step(step))).outcome().loss for step in steps]


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
    fast, examples = make(GraphLearner, shallow_model, **options)
    assert all(torch.equal(w, start[c][n]) for c, part in fast.weights().items() for n, w in part.items()), "warm-up"
    losses = train(fast, examples, range(3))
    assert losses == pytest.approx(wanted, rel=0.02)
    ours, theirs = fast.weights(), plain.weights()
    assert {c: set(part) for c, part in ours.items()} == {c: set(part) for c, part in theirs.items()}
    moved = error = 0.0
    for component, part in theirs.items():
        for name, weight in part.items():
            assert ours[component][name].shape == weight.shape
            if torch.equal(weight, start[component][name]):
                assert torch.equal(ours[component][name], weight), f"{name} is not trained"
            moved += float((weight - start[component][name]).square().sum())
            error += float((weight - ours[component][name]).square().sum())
    # Adam's first steps are all but signs, and the sign of a gradient that is almost nothing is chance.
    assert 0 < math.sqrt(error) < 0.5 * math.sqrt(moved)


@pytest.mark.skipif(HAS_GPU, reason="tests/gpu/test_two_gpus.py has real ones")
@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_two_processes_learn_what_one_does(shallow_model: Path, accumulation: int) -> None:
    """The gradients are added up once a step, after its last batch, and every process has the losses of all."""
    alone, examples = make(GraphLearner, shallow_model, accumulation=2 * accumulation)
    wanted = [alone.step(step, list(examples.of_step(step))).outcome() for step in range(3)]
    table, base = Together.Table(), find_model(str(shallow_model))
    loaded = [load_models(base) for _ in range(3)]  # which two threads cannot do at a time

    def learn(index: int) -> tuple[Learner, list[Outcome]]:
        ranks, shared = Together(index, table), {"accumulation": accumulation, "processes": 2}
        learner, share = make(GraphLearner, shallow_model, ranks=ranks, models=loaded[index], **shared)
        return learner, [learner.step(step, list(share.of_step(step))).outcome() for step in range(3)]

    with ThreadPoolExecutor(2) as threads:
        (first, told), (second, told_too) = threads.map(learn, range(2))
    assert told == told_too
    assert told[0].loss == pytest.approx(wanted[0].loss, rel=1e-6), "the same photos, noise and timesteps"
    assert told[0].grad_norm == pytest.approx(wanted[0].grad_norm, rel=0.01)
    # The first steps of Adam follow the gradient's sign, which the order of a sum in bf16 changes where it is small.
    assert [step.loss for step in told] == pytest.approx([step.loss for step in wanted], rel=0.01)
    ours, theirs = first.weights()["unet"], alone.weights()["unet"]
    assert all(torch.equal(weight, second.weights()["unet"][name]) for name, weight in ours.items())
    start = weights_of(loaded[2].unet, "unet", torch.Tensor.cpu)
    moved = [torch.cat([(some[n] - start[n]).flatten() for n in start]) for some in (ours, theirs)]
    assert torch.nn.functional.cosine_similarity(*moved, dim=0) > 0.98


def test_the_fp32_weights_are_gone_before_the_moments_take_their_room(
    shallow_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_master, addresses = SplitAdamW.load_master, SplitAdamW._addresses
    given: list[weakref.ref[torch.Tensor]] = []
    left: list[int] = []

    def loaded(optimizer: SplitAdamW, index: int, master: torch.Tensor) -> None:
        given.append(weakref.ref(master))
        load_master(optimizer, index, master)

    def about_to_make_state(optimizer: SplitAdamW, tensors: Any) -> torch.Tensor:
        left.append(sum(master() is not None for master in given))
        return addresses(optimizer, tensors)

    monkeypatch.setattr(SplitAdamW, "load_master", loaded)
    monkeypatch.setattr(SplitAdamW, "_addresses", about_to_make_state)
    make(GraphLearner, shallow_model)
    assert len(given) > 20 and left[0] == 0


def test_tells_how_far_the_warm_up_is(shallow_model: Path) -> None:
    for accumulation, parts in ((1, 5), (2, 6)):
        learner, examples = make(GraphLearner, shallow_model, accumulation=accumulation)
        told: list[tuple[int, int]] = []
        learner.warm_up(list(examples.of_step(0)), lambda done, total, told=told: told.append((done, total)))
        assert told == [(done, parts) for done in range(parts)]


def test_keeps_what_is_not_trained_as_it_was(shallow_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch's own bf16 convolutions with frozen weights crash on a CPU, so that no step is taken here.
    monkeypatch.setattr(GraphLearner, "warm_up", Learner.warm_up)
    plain, _ = make(Learner, shallow_model, layers="attention")
    fast, _ = make(GraphLearner, shallow_model, layers="attention")
    ours, theirs = fast.weights()["unet"], plain.weights()["unet"]
    final = fast.final_weights()["unet"]
    assert final.keys() == ours.keys() and all(torch.equal(final[name], weight) for name, weight in ours.items())
    assert {name for name, index in fast._indices["unet"].items()} == {name for name in theirs if "attentions." in name}
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], weight) for name, weight in theirs.items())


def test_resumes_where_it_was(shallow_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    first, examples = make(GraphLearner, shallow_model)
    train(first, examples, range(2))
    save_file(first.weights()["unet"], tmp_path / "unet.safetensors")
    torch.save(first.state(), tmp_path / "state.pt")
    second, _ = make(GraphLearner, shallow_model)
    second.load_weights({"unet": tmp_path / "unet.safetensors"})
    second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    losses = [train(learner, examples, range(2, 4)) for learner in (first, second)]
    assert losses[0] == losses[1]
    ours, theirs = first.weights()["unet"], second.weights()["unet"]
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def moments(learner: Learner) -> dict[str, list[torch.Tensor]]:
    """What AdamW remembers of each weight that learns, from either learner."""
    state = as_plain(learner.state()["optimizer"], learner.parameters)
    return {
        name: [state[index][name] for index in range(len(learner.parameters))] for name in ("exp_avg", "exp_avg_sq")
    }


@pytest.mark.parametrize("before,after", [(GraphLearner, Learner), (Learner, GraphLearner)])
@pytest.mark.parametrize("options", [{}, {"text_encoder": True}], ids=["plain", "text encoder"])
def test_a_run_goes_on_in_the_other_way_with_all_that_it_knew(
    before: type[Learner], after: type[Learner], options: dict[str, Any], shallow_model: Path, home: Path
) -> None:
    """As where a run of a GPU is resumed without one, or the other way round."""
    from dbtui.core.checkpoints import Checkpoint, writing
    from dbtui.engine.checkpoint import load_checkpoint
    from dbtui.engine.tensor_writers import write_state, write_weights

    first, examples = make(before, shallow_model, **options)
    train(first, examples, range(2))
    with writing(home, 2) as folder:
        for component, weights in first.weights().items():
            write_weights(folder / f"{component}.safetensors", weights)
        write_state(folder / "state.pt", first.state())
    second, _ = make(after, shallow_model, **options)
    load_checkpoint(second, Checkpoint(home / "step-000002"))
    for component, weights in first.weights().items():
        assert all(torch.equal(second.weights()[component][name], weight) for name, weight in weights.items())
    ours, theirs = moments(second), moments(first)
    for name, tensors in theirs.items():
        assert all(torch.equal(mine, wanted) for mine, wanted in zip(ours[name], tensors, strict=True))
        assert any(tensor.dim() == 4 and bool(tensor.any()) for tensor in tensors), "kernels, whose order differs"
    losses = [train(learner, examples, range(2, 4)) for learner in (first, second)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert {float(kept["step"]) for kept in as_plain(second.state()["optimizer"], second.parameters).values()} == {4}


def test_a_state_of_other_weights_is_refused(shallow_model: Path) -> None:
    fast, examples = make(GraphLearner, shallow_model)
    plain, _ = make(Learner, shallow_model)
    train(fast, examples, range(1))
    train(plain, examples, range(1))
    state = fast.state()["optimizer"]
    with pytest.raises(ValueError, match="weights"):
        plain.load_state({"optimizer": {**state, "first": state["first"][64:]}})
    kept = plain.state()["optimizer"]["state"]
    with pytest.raises(RuntimeError, match="should be"):
        fast.load_state({"optimizer": {"state": {1: kept[0]}}})


def test_a_loss_that_is_no_number_names_its_picture_and_changes_nothing(shallow_model: Path) -> None:
    photos = latents(2, 0)
    photos.mean[1, 0, 0, 0] = math.nan
    learner, examples = make(GraphLearner, shallow_model, photos=photos, batch_size=2)
    before = {name: weight.clone() for name, weight in learner.weights()["unet"].items()}
    taken = learner.step(0, list(examples.of_step(0)))
    learner.step(1, list(examples.of_step(1)))  # it is on its way when the first is heard of
    with pytest.raises(NotFiniteError, match="loss") as raised:
        taken.outcome()
    assert raised.value.names == ["b"]
    after = learner.weights()["unet"]
    assert all(torch.equal(before[name], after[name]) for name in before)
