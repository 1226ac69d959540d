"""Pictures drawn by a graph beside the same seeds drawn in the plain way in 32 bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("triton")

from dbtui.core import config
from dbtui.core.base_model import find_model
from dbtui.core.subjects import SUBJECTS
from dbtui.engine.denoiser import GraphDenoiser
from dbtui.engine.models import Models, load_models
from dbtui.engine.prior import make_class_pictures
from dbtui.engine.sampler import Drawing, Settings, draw

PROMPT = "a photo of a vehicle"
SETTINGS = Settings(resolution=128, steps=20, guidance=5.0)
ROUNDING = 3.0
"""Of 255, that pictures in 16 bit may be off; two seeds are some fifty apart."""


@pytest.fixture
def models() -> Models:
    return load_models(find_model("mini")).to("cuda")


def pictures(models: Models, denoiser: GraphDenoiser | None = None, count: int = 9, **changes: Any) -> np.ndarray:
    settings = Settings(**{"resolution": 128, "steps": 20, "guidance": 5.0, **changes})
    drawings = [Drawing(PROMPT, seed) for seed in range(count)]
    return np.stack([np.asarray(picture, float) for picture in draw(models, drawings, settings, denoiser=denoiser)])


def assert_alike(some: np.ndarray, others: np.ndarray) -> None:
    """Each picture is that of the other's seed, and no picture that of another seed."""
    assert abs(some - others).mean(axis=(1, 2, 3)).max() < ROUNDING
    assert abs(some - np.roll(others, 1, axis=0)).mean(axis=(1, 2, 3)).min() > 5 * ROUNDING


@pytest.mark.parametrize("guidance", [5.0, 1.0], ids=["guided", "unguided"])
@pytest.mark.parametrize("scheduler", config.SCHEDULERS)
def test_a_graph_draws_what_the_unet_draws(models: Models, scheduler: str, guidance: float) -> None:
    said: list[str] = []
    denoiser = GraphDenoiser(models.unet, said.append, vae=models.vae)
    how = {"scheduler": scheduler, "guidance": guidance}
    assert_alike(pictures(models, denoiser, **how), pictures(models, **how))
    (step,) = denoiser._steps.values()
    assert isinstance(step._graph, torch.cuda.CUDAGraph) and not said
    assert denoiser.decoder is not None and denoiser.decoder._compared and not denoiser.decoder.given_up


def test_several_shapes_and_changed_weights(models: Models) -> None:
    said: list[str] = []
    denoiser = GraphDenoiser(models.unet, said.append)
    for count in (2, 3, 5, 7, 2):
        assert_alike(pictures(models, denoiser, count), pictures(models, count=count))
    with torch.no_grad():
        for weight in models.unet.parameters():
            weight.mul_(1.02)
    denoiser.refresh()
    assert_alike(pictures(models, denoiser, 2), pictures(models, count=2))
    assert not said


def test_class_pictures_are_pictures(models: Models) -> None:
    """By the path that a training takes; they are as good as the plain ones, and as smooth as a photo."""
    prior = config.PriorConfig(enabled=True, class_prompt=PROMPT, class_images=9, steps=20, guidance=5.0)
    said: list[str] = []
    denoiser = GraphDenoiser(models.unet, said.append)
    made = make_class_pictures(models, prior, 128, lambda done, total: None, denoiser=denoiser)
    found = np.stack([np.asarray(Image.open(source.path), float) for source in made])
    assert_alike(found, pictures(models))

    def roughness(picture: np.ndarray) -> float:
        return float(abs(np.diff(picture, axis=1)).mean() / picture.std())

    photo = Image.open(min(SUBJECTS["teddy-bear"].folder.glob("*.jpg"))).convert("RGB").resize((128, 128))
    # Noise is twenty times as rough as a photo.
    assert max(map(roughness, found)) < 3 * roughness(np.asarray(photo, float))
    assert not said


def test_the_sampler_of_the_app_draws_by_a_graph(dbtui: Callable[..., dict[str, Any]], folder: Path) -> None:
    """The process in 16 bit, with and without."""
    for name, flags in (("plain", ["--no-graph"]), ("graph", [])):
        dbtui("sample", "mini", PROMPT, "--seed", "0", "--out", str(folder / name), *flags)
    drawn = [
        np.stack([np.asarray(Image.open(folder / name / f"{i:03}.png"), float) for i in range(9)])
        for name in ("plain", "graph")
    ]
    assert_alike(*drawn)


def test_a_learner_on_kernels_draws_its_own_weights(make_learner: Callable[..., Any]) -> None:
    """In mid-training, under autocast, while a checkpoint may be written by another thread."""
    from dbtui.engine.graph_learner import GraphLearner
    from dbtui.engine.sampler import drawing_mode

    learner, examples = make_learner(GraphLearner, find_model("mini"))
    said: list[str] = []
    denoiser = GraphDenoiser(learner.models.unet, said.append, vae=learner.models.vae)
    for steps in (range(10), range(10, 20)):
        for step in steps:
            learner.step(step, list(examples.of_step(step))).outcome()
        plain = copy.deepcopy(load_models(find_model("mini"))).to("cuda")
        names = {name: index for name, index in learner._indices["unet"].items()}
        from dbtui.core.original import file_name

        with torch.no_grad():
            for name, weight in plain.unet.named_parameters():
                weight.copy_(learner.optimizer.master(names[file_name("unet", name)]))
        with drawing_mode(*learner.trained.values()), learner.accelerator.autocast():
            denoiser.refresh()
            found = pictures(learner.models, denoiser, 4)
        # bf16 weights and kernels, eight times as coarse as fp16.
        assert abs(found - pictures(plain, count=4)).mean() < 3 * ROUNDING
    assert not said
