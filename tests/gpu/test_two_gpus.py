"""Two GPUs train one run, each step a CUDA graph in which their gradients are added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from dbtui.core.events import Log, Step
from dbtui.core.journal import JournalReader
from dbtui.core.run import find_run
from dbtui.core.subjects import SUBJECTS

BEAR = SUBJECTS["teddy-bear"]
WINDOW = 50


@pytest.fixture(autouse=True)
def two(gpu: None) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")


def train(dbtui: Callable[..., dict[str, Any]], name: str, **training: Any) -> list[Any]:
    """What the journal of 200 steps of four photos has."""
    settings = {"steps": 200, "precision": "bf16", "batch_size": 1, "checkpoint_every": 100, **training}
    words = [word for key, value in settings.items() for word in ("--set", f"training.{key}={value}")]
    answer = dbtui(
        "train", str(BEAR.folder), "--name", name, "--model", "mini", "--prompt", BEAR.prompt, *words,
        "--set", "sampling.every=0",
    )  # fmt: skip
    assert (answer["state"], answer["step"]) == ("done", 200)
    return JournalReader(find_run(name).journal).read()


def smoothed(events: list[Any]) -> torch.Tensor:
    losses = torch.tensor([event.loss for event in events if isinstance(event, Step)])
    return losses.unfold(0, WINDOW, WINDOW).mean(1)


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_two_learn_what_one_learns(dbtui: Callable[..., dict[str, Any]], accumulation: int) -> None:
    """A step of one process with twice the accumulation has the same photos, noise and timesteps."""
    alone = train(dbtui, "alone", accumulation=2 * accumulation)
    both = train(dbtui, "both", accumulation=accumulation, processes=2)
    words = [event.message for event in both if isinstance(event, Log)]
    assert any("as a CUDA graph, in 2 processes" in text for text in words), words
    torch.testing.assert_close(smoothed(both), smoothed(alone), rtol=0.02, atol=0)
    norms = [torch.tensor([e.grad_norm for e in events if isinstance(e, Step)]) for events in (both, alone)]
    torch.testing.assert_close(norms[0][:20], norms[1][:20], rtol=0.05, atol=0)
