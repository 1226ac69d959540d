"""The sampler process: looks at forming pictures, checkpoints of runs, prompts that are too long, and its end."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from dbtui.core import paths
from dbtui.core.checkpoints import checkpoints
from dbtui.core.errors import DbtuiError
from dbtui.core.library import find_sound_concept
from dbtui.core.run import Run, find_run
from dbtui.core.sources import of_checkpoint, of_run, sources_of
from dbtui.engine.models import Models
from dbtui.engine.preview import Previewer
from dbtui.engine.sampler import SCHEDULERS, Drawing, Settings, draw
from dbtui.jobs.generate import Request, Sampler

PROMPT = "a photo of a toy"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture(scope="module")
def sampler(shelf: Path) -> Iterator[Sampler]:
    """One process for all tests, which looks for concepts and runs on the shelf."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBTUI_HOME", str(shelf))
        with Sampler() as process:
            list(process.ask(request(shelf / "first", seeds=[1], steps=1)))  # it starts here
            yield process


def request(folder: Path, **changes: Any) -> Request:
    folder.mkdir(exist_ok=True)
    wanted = Request(prompt=PROMPT, seeds=[3, 4], columns=2, out=str(folder), base="mini", steps=4, resolution=64)
    return replace(wanted, **changes)


def small(picture: Image.Image, side: int) -> np.ndarray:
    return np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.BOX), np.float32)


def test_looks_come_when_asked_for_and_resemble_what_is_drawn(sampler: Sampler, tmp_path: Path) -> None:
    kinds = [message["kind"] for message in sampler.ask(request(tmp_path / "plain"))]
    assert "preview" not in kinds, "the command line asks for none"
    looks = [m for m in sampler.ask(request(tmp_path / "seen", preview=2)) if m["kind"] == "preview"]
    assert [look["first"] for look in looks] == [0, 0] and all(len(look["pictures"]) == 2 for look in looks)
    for name in ("000.png", "001.png"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "seen" / name).read_bytes()
    last = [Image.open(BytesIO(base64.b64decode(text))) for text in looks[-1]["pictures"]]
    drawn = [Image.open(tmp_path / "seen" / name) for name in ("000.png", "001.png")]
    for place in (0, 1):
        look, own, other = (small(p, last[0].width) for p in (last[place], drawn[place], drawn[1 - place]))
        assert abs(look - own).mean() < 30 and abs(look - own).mean() < abs(look - other).mean()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_look_gets_nearer_to_the_picture_with_every_scheduler(mini: Models, scheduler: str) -> None:
    previewer, looks = Previewer(), []
    settings = Settings(resolution=128, steps=8, scheduler=scheduler)

    def look(first: int, step: int, latents: torch.Tensor) -> None:
        looks.append(previewer.pictures(mini, latents)[0])

    (picture,) = draw(mini, [Drawing(PROMPT, 1)], settings, look=look)
    far = [abs(small(seen, looks[0].width) - small(picture, looks[0].width)).mean() for seen in looks]
    assert far[-1] < 20 and far[-1] < far[0]


def test_a_checkpoint_of_a_run_draws_while_its_weights_are_kept(
    begin_run: Callable, train: Callable, sampler: Sampler, home: Path, shelf: Path, tmp_path: Path
) -> None:
    ended = train(begin_run(changes={"training.steps": 2, "training.checkpoint_every": 1}))
    for name in ("concepts", "runs"):
        shutil.move(home / name, shelf / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBTUI_HOME", str(shelf))
        concept, run = find_sound_concept(ended.concept), find_run(ended.concept)
        names = [source.name for source in sources_of(concept)]
        assert names == ["mini", f"{concept.name} step 1", concept.name]
        (source,) = of_run(run)
        (checkpoint,) = checkpoints(run.checkpoints)
    assert not checkpoint.resumable and source.base_fingerprint == concept.base_fingerprint

    drawn = {}
    for name, what in (
        ("base", {}), ("step", {"base": "", "checkpoint": source.checkpoint}),
        ("end", {"base": "", "concept": concept.name}), ("again", {"base": "", "checkpoint": source.checkpoint}),
    ):  # fmt: skip
        assert list(sampler.ask(request(tmp_path / name, **what)))[-1]["kind"] == "done"
        drawn[name] = (tmp_path / name / "000.png").read_bytes()
    with Image.open(tmp_path / "step" / "000.png") as picture:
        assert picture.info["parameters"].endswith(f"Model: {concept.name} step 1")
    assert len(set(drawn.values())) == 3 and drawn["step"] == drawn["again"]

    checkpoint.weights("unet").write_bytes(b"damaged")
    with pytest.raises(DbtuiError, match="step 1 cannot be used"):
        list(sampler.ask(request(tmp_path / "damaged", base="", checkpoint=source.checkpoint)))
    assert of_run(run) == [] and list(sampler.ask(request(tmp_path / "after")))[-1]["kind"] == "done"


def test_a_checkpoint_that_is_gone_is_refused_and_a_run_without_any_has_no_sources(new_run: Callable[..., Run]) -> None:
    run = new_run("rex")
    assert of_run(run) == [] and [source.name for source in sources_of(run)] == ["stable-diffusion-v1-5"]
    (run.checkpoints / "step-000007").mkdir()
    with pytest.raises(DbtuiError, match="step 7 cannot be used"):
        of_checkpoint(checkpoints(run.checkpoints)[0])
    assert paths.runs_dir() in run.path.parents


def test_a_long_prompt_is_drawn_and_it_is_said_how_much_is_read(sampler: Sampler, tmp_path: Path) -> None:
    messages = list(sampler.ask(request(tmp_path / "long", prompt="toy " * 3000, negative="red", seeds=[1])))
    (notice,) = [message["words"] for message in messages if message["kind"] == "notice"]
    assert "beginning of the prompt: 30 of its 3,000 tokens" in notice and messages[-1]["kind"] == "done"


def test_without_a_gpu_it_draws_plainly_and_says_nothing(sampler: Sampler, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    drawn = {}
    for graph in (False, True):
        messages = list(sampler.ask(request(tmp_path / str(graph), graph=graph)))
        drawn[graph] = (tmp_path / str(graph) / "000.png").read_bytes()
        assert not [m for m in messages if m["kind"] == "notice"]
    assert drawn[False] == drawn[True]


def test_a_process_that_is_closed_in_the_middle_is_gone(tmp_path: Path) -> None:
    sampler = Sampler()
    for message in sampler.ask(request(tmp_path / "one", steps=900)):
        if message["kind"] == "progress":
            break
    pid = sampler.pid
    assert pid is not None and psutil.pid_exists(pid)
    sampler.close(0)
    assert sampler.pid is None and not psutil.pid_exists(pid)
