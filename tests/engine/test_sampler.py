"""Pictures depend on their seed alone; drawing can be cancelled; the sampler process stays warm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageChops, ImageStat

from dbtui.core import config
from dbtui.core.errors import DbtuiError
from dbtui.core.grid import SCHEDULER_NAMES
from dbtui.core.library import find_sound_concept
from dbtui.core.sources import of_base, of_concept
from dbtui.engine.models import Models
from dbtui.engine.sampler import SCHEDULERS, Cancelled, Drawing, Safety, Settings, draw
from dbtui.engine.warm import WarmModel
from dbtui.jobs.generate import Request, Sampler

SETTINGS = Settings(resolution=64, steps=2)
PROMPT = "a photo of a toy"


def difference(one: Image.Image, other: Image.Image) -> float:
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def test_a_seed_gives_one_picture_alone_and_in_a_batch(mini: Models) -> None:
    together = list(draw(mini, [Drawing(PROMPT, seed) for seed in (1, 2, 3)], SETTINGS))
    for seed, picture in zip((1, 2, 3), together, strict=True):
        (alone,) = draw(mini, [Drawing(PROMPT, seed)], SETTINGS)
        assert difference(alone, picture) < 0.5
    assert difference(together[0], together[1]) > 5


def test_pictures_come_in_order_whatever_the_batch(mini: Models) -> None:
    drawings = [Drawing(PROMPT, seed) for seed in range(5)]
    whole = list(draw(mini, drawings, replace(SETTINGS, batch_size=5)))
    seen: list[tuple[int, int]] = []
    parts = list(draw(mini, drawings, replace(SETTINGS, batch_size=2), lambda done, total: seen.append((done, total))))
    assert all(difference(one, other) < 0.5 for one, other in zip(whole, parts, strict=True))
    assert seen == [(2, 10), (4, 10), (6, 10), (8, 10), (9, 10), (10, 10)]


def test_prompt_and_negative_prompt_and_guidance_matter(mini: Models) -> None:
    (plain,) = draw(mini, [Drawing(PROMPT, 1)], SETTINGS)
    for drawing, settings in (
        (Drawing("a photo of a vehicle", 1), SETTINGS),
        (Drawing(PROMPT, 1), replace(SETTINGS, negative="red")),
        (Drawing(PROMPT, 1), replace(SETTINGS, guidance=1.0)),
    ):
        (other,) = draw(mini, [drawing], settings)
        assert difference(plain, other) > 0.5


def test_every_scheduler_has_its_names() -> None:
    assert list(SCHEDULERS) == list(config.SCHEDULERS) == list(SCHEDULER_NAMES)


@pytest.mark.parametrize("name", config.SCHEDULERS)
def test_every_scheduler_repeats_itself(mini: Models, name: str) -> None:
    settings = replace(SETTINGS, scheduler=name)
    first, second = (next(iter(draw(mini, [Drawing(PROMPT, 4)], settings))) for _ in range(2))
    assert first.size == (64, 64)
    assert first.tobytes() == second.tobytes()
    assert difference(first, Image.new("RGB", first.size, first.resize((1, 1)).getpixel((0, 0)))) > 2


def test_cancelling_between_steps_leaves_the_model_ready(mini: Models) -> None:
    (before,) = draw(mini, [Drawing(PROMPT, 1)], SETTINGS)
    steps = []

    def cancel_at_second(done: int, total: int) -> None:
        steps.append(done)
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(draw(mini, [Drawing(PROMPT, 1)], replace(SETTINGS, steps=6), cancel_at_second))
    assert steps == [1, 2]
    (after,) = draw(mini, [Drawing(PROMPT, 1)], SETTINGS)
    assert before.tobytes() == after.tobytes()


def test_the_warm_model_stays_and_concepts_go_in_and_out(begin_run: Callable, train: Callable, mini: Models) -> None:
    concept = of_concept(find_sound_concept(train(begin_run(changes={"training.steps": 1})).concept))
    warm, plain = WarmModel(), of_base("mini")
    base = warm.get(mini.base, plain)
    assert warm.get(mini.base, plain) is base
    taught = warm.get(mini.base, concept)
    assert taught is base and not same_weights(taught, mini)
    assert warm.get(mini.base, concept) is base
    assert same_weights(warm.get(mini.base, plain), mini)


def test_a_concept_of_another_base_is_refused(begin_run: Callable, train: Callable, mini: Models) -> None:
    concept = of_concept(find_sound_concept(train(begin_run(changes={"training.steps": 1})).concept))
    with pytest.raises(DbtuiError, match="base model has changed"):
        WarmModel().get(mini.base, replace(concept, base_fingerprint="0" * 64))


def same_weights(one: Models, other: Models) -> bool:
    pairs = zip(one.unet.parameters(), other.unet.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def sampler() -> Iterator[Sampler]:
    with Sampler() as process:
        yield process


def request(folder: Path, **changes: object) -> Request:
    folder.mkdir(exist_ok=True)
    wanted = Request(prompt=PROMPT, seeds=[3, 4], columns=2, out=str(folder), base="mini", steps=2, resolution=64)
    return replace(wanted, **changes)  # type: ignore[arg-type]


def test_the_process_answers_cancels_and_answers_again(sampler: Sampler, tmp_path: Path) -> None:
    messages = list(sampler.ask(request(tmp_path / "one", negative="red")))
    kinds = [message["kind"] for message in messages]
    assert kinds[0] == "loading" and kinds[-1] == "done" and kinds.count("picture") == 2
    with Image.open(tmp_path / "one" / "001.png") as picture:
        assert picture.text["parameters"] == (
            "a photo of a toy\nNegative prompt: red\nSteps: 2, Sampler: DPM++ 2M Karras, CFG scale: 7.5, "
            "Seed: 4, Size: 64x64, Model: mini"
        )
    with Image.open(messages[-1]["grid"]) as grid:
        assert grid.size == (64 * 2 + 4, 64)

    kinds = []
    for message in sampler.ask(request(tmp_path / "two", steps=900)):
        kinds.append(message["kind"])
        if message["kind"] == "progress" and kinds.count("progress") == 1:
            canceller = threading.Thread(target=sampler.cancel)
            canceller.start()
            canceller.join()
    assert kinds[-1] == "cancelled" and "picture" not in kinds and kinds.count("progress") < 900

    list(sampler.ask(request(tmp_path / "three", negative="red")))
    for name in ("000.png", "001.png"):
        assert (tmp_path / "three" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()

    with pytest.raises(DbtuiError):
        list(sampler.ask(request(tmp_path / "four", base="", concept="nobody")))
    assert [m["kind"] for m in sampler.ask(request(tmp_path / "five", seeds=[1]))][-1] == "done"


def test_what_the_safety_checker_blacks_out_is_black(mini: Models) -> None:
    class Checker(torch.nn.Module):
        device, dtype = torch.device("cpu"), torch.float32

        def forward(self, images: torch.Tensor, clip_input: object) -> tuple[torch.Tensor, list[bool]]:
            images[1] = torch.zeros_like(images[1])  # what diffusers' does
            return images, [False, True]

    class Processor:
        pixel_values = torch.zeros(2, 3, 8, 8)

        def __call__(self, pictures: object, return_tensors: str) -> Processor:
            return self

        def to(self, device: object) -> Processor:
            return self

    safety = Safety(Checker(), Processor())
    settings = Settings(resolution=64, steps=2)
    shown, black = draw(mini, [Drawing("a toy", seed) for seed in range(2)], settings, safety=safety)
    assert safety.flagged == [1] and black.getextrema() == ((0, 0),) * 3
    assert all(high > low for low, high in shown.getextrema())
