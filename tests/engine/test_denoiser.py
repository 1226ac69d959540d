"""Drawing by a graph: without a GPU the same buffers are filled and what would be replayed is computed.

torch does what the kernels do, since Triton's interpreter takes its time; tests/kernels has the kernels in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dbtui.core import config
from dbtui.core.base_model import find_model
from dbtui.core.events import Event, Log, Sample
from dbtui.core.run import Run
from dbtui.core.sources import find_source, of_base
from dbtui.engine import denoiser as module
from dbtui.engine import loop
from dbtui.engine.denoiser import MOST_SHAPES, TOLERANCE, GraphDenoiser, Step
from dbtui.engine.models import Models, load_models
from dbtui.engine.prior import make_class_pictures
from dbtui.engine.sampler import Cancelled, Drawing, Settings, draw
from dbtui.engine.warm import WarmModel

pytest.importorskip("triton")

from dbtui.engine import fused

SETTINGS = Settings(resolution=64, steps=3)
ROUNDING = 0.5
"""Of 255, that pictures may be apart; they are twenty apart if one prediction is wrong."""


@pytest.fixture(autouse=True)
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "fuse", lambda unet: None)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def denoiser(mini: Models, said: list[str]) -> GraphDenoiser:
    return GraphDenoiser(mini.unet, said.append, torch.float64)


def pictures(models: Models, denoiser: GraphDenoiser | None, count: int = 2, **changes: object) -> list[Image.Image]:
    drawings = [Drawing("a photo of a toy", seed) for seed in range(count)]
    return list(draw(models, drawings, replace(SETTINGS, **changes), denoiser=denoiser))  # type: ignore[arg-type]


def apart(some: list[Image.Image], others: list[Image.Image]) -> float:
    pairs = zip(some, others, strict=True)
    return max(float(abs(np.asarray(a, float) - np.asarray(b, float)).mean()) for a, b in pairs)


@pytest.mark.parametrize("guidance", [7.5, 1.0], ids=["guided", "unguided"])
@pytest.mark.parametrize("scheduler", config.SCHEDULERS)
def test_pictures_are_those_of_the_unet(
    mini: Models, denoiser: GraphDenoiser, said: list[str], scheduler: str, guidance: float
) -> None:
    how = {"scheduler": scheduler, "guidance": guidance}
    assert apart(pictures(mini, denoiser, **how), pictures(mini, None, **how)) < ROUNDING
    assert not denoiser.given_up and not said
    ((latents, _),) = denoiser._steps
    assert latents[0] == (4 if guidance > 1 else 2)


def test_few_shapes_are_kept_and_each_is_right_again(mini: Models, denoiser: GraphDenoiser) -> None:
    for size in (1, 2, 3, 4, 1, 4):
        assert apart(pictures(mini, denoiser, size, steps=2), pictures(mini, None, size, steps=2)) < ROUNDING
        assert len(denoiser._steps) <= MOST_SHAPES
    kept = dict(denoiser._steps)
    pictures(mini, denoiser, 4, steps=2)
    assert dict(denoiser._steps) == kept, "nothing is captured twice"
    assert not denoiser.given_up


def test_weights_that_have_changed_are_drawn_with(said: list[str]) -> None:
    models = load_models(find_model("mini"))
    denoiser = GraphDenoiser(models.unet, said.append, torch.float32)
    before = pictures(models, denoiser)
    (step,) = denoiser._steps.values()
    with torch.no_grad():
        for weight in models.unet.parameters():
            weight.mul_(1.02)
    denoiser.refresh()
    after = pictures(models, denoiser)
    assert apart(after, pictures(models, None)) < ROUNDING < 1 < apart(after, before)
    assert [*denoiser._steps.values()] == [step] and not said


@pytest.mark.parametrize("buffer", ["_latents", "_timesteps", "_hidden"])
def test_a_capture_that_froze_an_input_is_found_out(
    mini: Models, denoiser: GraphDenoiser, said: list[str], monkeypatch: pytest.MonkeyPatch, buffer: str
) -> None:
    predict = Step._predict

    def frozen(self: Step) -> None:
        """Computes with what the buffer held when it was captured."""
        getattr(self, buffer).zero_()
        predict(self)

    monkeypatch.setattr(Step, "_predict", frozen)
    # Even what bf16 is allowed would not let it pass.
    monkeypatch.setattr(
        module, "TOLERANCE", TOLERANCE * torch.finfo(torch.bfloat16).eps / torch.finfo(torch.float32).eps
    )
    assert apart(pictures(mini, denoiser, steps=8), pictures(mini, None, steps=8)) == 0
    assert denoiser.given_up and not denoiser._steps
    (words,) = said
    assert "% off" in words and "plain way" in words


def test_predictions_that_are_no_numbers_are_not_drawn(
    mini: Models, denoiser: GraphDenoiser, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Step, "__call__", lambda self, latents, *_: torch.full_like(latents, torch.nan))
    assert apart(pictures(mini, denoiser), pictures(mini, None)) == 0
    assert denoiser.given_up and len(said) == 1


def test_what_cannot_be_captured_is_drawn_in_the_plain_way(
    mini: Models, denoiser: GraphDenoiser, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(unet: object) -> None:
        raise RuntimeError("no \x1b[31mcompiler")

    monkeypatch.setattr(fused, "fuse", refuse)
    for _ in range(2):
        assert apart(pictures(mini, denoiser), pictures(mini, None)) == 0
    (words,) = said
    assert "compiler" in words and "\x1b" not in words


def test_where_a_graph_does_not_fit_one_of_fewer_pictures_is_tried(
    mini: Models, denoiser: GraphDenoiser, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Small(Step):
        most = 4

        def __init__(self, unet: Any, latents: torch.Tensor, hidden: torch.Tensor) -> None:
            if len(latents) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            super().__init__(unet, latents, hidden)

    monkeypatch.setattr(module, "Step", Small)
    assert apart(pictures(mini, denoiser, 5), pictures(mini, None, 5)) < ROUNDING
    assert [latents[0] for latents, _ in denoiser._steps] == [4, 2] and not said
    denoiser.release()
    monkeypatch.setattr(Small, "most", 1)
    assert apart(pictures(mini, denoiser, 3), pictures(mini, None, 3)) < ROUNDING
    assert denoiser.given_up and len(said) == 1 and "out of memory" in said[0]


def test_cancelling_leaves_it_ready(mini: Models, denoiser: GraphDenoiser) -> None:
    def cancel(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        list(draw(mini, [Drawing("a toy", seed) for seed in range(2)], SETTINGS, cancel, denoiser=denoiser))
    assert apart(pictures(mini, denoiser), pictures(mini, None)) < ROUNDING


def test_a_copy_in_16_bit_draws_the_same_pictures(mini: Models, said: list[str]) -> None:
    denoiser = GraphDenoiser(mini.unet, said.append)
    assert apart(pictures(mini, denoiser, 1, steps=12), pictures(mini, None, 1, steps=12)) < 2
    assert not said and next(iter(denoiser._copy.parameters())).dtype == torch.float16  # type: ignore[union-attr]


def test_the_warm_model_keeps_it_as_long_as_it_keeps_the_model(
    mini: Models, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = WarmModel()
    warm.get(mini.base, of_base("mini"))
    assert warm.denoiser(said.append) is None and not said
    monkeypatch.setattr(module, "kernels_problem", lambda device: "")
    later: list[str] = []
    first = warm.denoiser(said.append)
    assert warm.denoiser(later.append) is first and first is not None
    first._say("heard by who asks now")
    assert later == ["heard by who asks now"] and not said
    warm.forget()
    warm.get(mini.base, of_base("mini"))
    assert warm.denoiser(said.append) is not first


def test_samples_in_mid_training_follow_the_weights(
    begin_run: Callable[..., Run], train: Callable, heard: Callable[[Run], list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, made = {}, []
    make = loop.graph_denoiser
    monkeypatch.setattr(loop, "graph_denoiser", lambda *about: made.append(make(*about)) or made[-1])
    for graph in (False, True):
        if graph:
            monkeypatch.setattr(module, "kernels_problem", lambda device: "")
        changes = {
            "training.steps": 2, "training.learning_rate": 1e-3, "sampling.every": 1, "sampling.graph": graph,
            "sampling.steps": 10,
        }  # fmt: skip
        run = begin_run(changes=changes)
        ended = train(run)
        assert find_source(ended.concept, "", "").graph == graph
        drawn[graph] = [Image.open(run.path / e.path) for e in heard(run) if isinstance(e, Sample)]
        assert not [e for e in heard(run) if isinstance(e, Log) and "plain way" in e.message]
    assert len(drawn[True]) == 2 and apart(drawn[True], drawn[False]) < 3
    assert apart(drawn[True][:1], drawn[True][1:]) > 5
    assert made[0] is None and made[1] is not None
    assert made[1]._copy is None and not made[1]._steps, "the training has the memory to itself"


def test_class_pictures_are_drawn_by_it(mini: Models, denoiser: GraphDenoiser, said: list[str]) -> None:
    prior = config.PriorConfig(enabled=True, class_prompt="a photo of a toy", class_images=3, steps=3, batch_size=2)
    made = make_class_pictures(mini, prior, 64, lambda done, total: None, denoiser=denoiser)
    assert apart([Image.open(source.path) for source in made], pictures(mini, None, 3)) < ROUNDING
    assert [latents[0] for latents, _ in denoiser._steps] == [4, 2] and not said


def test_where_there_is_none_a_run_draws_plainly_and_says_nothing(
    begin_run: Callable[..., Run], train: Callable, heard: Callable[[Run], list[Event]]
) -> None:
    run = begin_run(changes={"training.steps": 1, "sampling.every": 1, "sampling.graph": True})
    train(run)
    assert not [e for e in heard(run) if isinstance(e, Log) and e.level == "warning"]
    assert [e for e in heard(run) if isinstance(e, Sample)]
