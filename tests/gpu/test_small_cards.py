"""What auto chooses on cards that are smaller than this one, whose memory is taken away for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

pytest.importorskip("triton")
pytest.importorskip("bitsandbytes")

from dbtui.core.architecture import Architecture
from dbtui.core.base_model import BaseModel
from dbtui.core.config import Config
from dbtui.core.errors import DbtuiError
from dbtui.core.fit import SPARE, needed
from dbtui.core.memory import CONTEXT
from dbtui.core.presets import preset_config
from dbtui.engine import fitting
from dbtui.engine.bench import fitted
from dbtui.engine.probe import Probe, probe

WAYS: list[tuple[bool, str, bool]] = [(True, "adamw", False), (False, "adamw8bit", False), (False, "adamw8bit", True)]
"""What auto becomes on ever smaller cards: graph, optimizer, checkpointing."""


def asked(base: BaseModel, config: Config | None = None, **training: Any) -> Config:
    changes = {f"training.{name}": value for name, value in training.items()}
    return (config or Config()).replace({"model.base": str(base.path), "data.resolution": 512, **changes})


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[Probe]:
    """What was found out of each learner that was tried."""
    found: list[Probe] = []
    monkeypatch.setattr(fitting, "probe", lambda *about: found.append(probe(*about)) or found[-1])
    return found


def train_on(card: Callable[[float], None], config: Config, base: BaseModel, size: float) -> Any:
    """The learner that auto made on a card of ``size`` bytes, after two steps."""
    card(size)
    learner, examples = fitted(config, base)
    for step in range(2):
        assert learner.step(step, list(examples.of_step(step))).outcome().loss > 0
    assert torch.cuda.max_memory_reserved() + CONTEXT["cuda"] <= size
    return learner


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_auto_takes_the_fastest_way_that_fits(
    sd15: BaseModel, card: Callable[[float], None], probes: list[Probe], way: tuple[bool, str, bool]
) -> None:
    graph, optimizer, checkpointing = way
    exactly = asked(sd15, precision="bf16", graph=graph, optimizer=optimizer, gradient_checkpointing=checkpointing)
    counted = needed(exactly, Architecture.of(sd15), "cuda")
    plan = train_on(card, asked(sd15), sd15, 1.005 * counted / (1 - SPARE)).plan
    assert (plan.graph, plan.optimizer, plan.gradient_checkpointing) == way
    (taken,) = probes
    assert taken.fits and taken.memory == pytest.approx(counted, rel=0.1)


def test_the_way_of_least_memory_fits_a_small_card(
    sd15: BaseModel, card: Callable[[float], None], probes: list[Probe]
) -> None:
    config = asked(sd15, preset_config("low-vram"), precision="bf16", graph=True)
    counted = needed(config, Architecture.of(sd15), "cuda")
    assert train_on(card, config, sd15, 1.1 * counted).plan.lean
    (taken,) = probes
    assert taken.memory == pytest.approx(counted, rel=0.15)


def test_what_cannot_fit_is_refused_before_the_first_step(sd15: BaseModel, card: Callable[[float], None]) -> None:
    card(6e9)
    with pytest.raises(DbtuiError, match="No step was taken") as refused:
        fitted(asked(sd15), sd15)
    assert refused.value.hint


def test_memory_runs_out_in_a_large_batch_of_pictures_and_they_are_drawn(
    sd15: BaseModel, card: Callable[[float], None]
) -> None:
    """A graph that does not fit is given up, and a batch that does not is halved."""
    from dbtui.engine.denoiser import GraphDenoiser
    from dbtui.engine.models import load_models
    from dbtui.engine.sampler import Drawing, Settings, draw

    card(5.5e9)
    models = load_models(sd15).to("cuda", torch.float16)
    said: list[str] = []
    denoiser = GraphDenoiser(models.unet, said.append)
    settings = Settings(resolution=768, steps=2, batch_size=16)
    assert len(list(draw(models, [Drawing("a toy", seed) for seed in range(16)], settings, denoiser=denoiser))) == 16
    assert denoiser.given_up == bool(said)
