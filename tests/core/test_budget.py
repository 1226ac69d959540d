"""What a run will need, against what was counted and measured elsewhere."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dbtui.core.architecture import Architecture
from dbtui.core.base_model import find_model
from dbtui.core.budget import (
    CHECKPOINT_SECONDS,
    COPY_MARGIN,
    checkpoint_bytes,
    estimate,
    place_of_copy,
    step_operations,
)
from dbtui.core.config import Config
from dbtui.core.fit import SPARE, decide, find_change, needed, next_smaller, too_big, words
from dbtui.core.memory import Memory
from dbtui.core.presets import preset_config
from dbtui.core.rates import Rates
from dbtui.core.weights import read_header

GIB = 2**30
MEASURED = json.loads((Path(__file__).parent / "measured_memory.json").read_text())
"""Peaks of real steps on one NVIDIA H200 (docs/estimate.md), in MiB."""

PLAIN = {
    "data.resolution": 512,
    "training.precision": "bf16",
    "training.optimizer": "adamw",
    "training.gradient_checkpointing": False,
    "training.graph": False,
}


def config(**changes: Any) -> Config:
    """``training_batch_size=4`` changes that of a plain config."""
    return Config().replace(PLAIN | {key.replace("_", ".", 1): value for key, value in changes.items()})


def shapes(component: str) -> dict[str, int]:
    header = read_header(find_model("mini").weights[component])
    return {name: math.prod(shape) for name, (_, shape) in header.items()}


def test_the_parameters_counted_are_those_in_the_weights_files(architectures: dict[str, Architecture]) -> None:
    mini = architectures["mini"]
    unet = mini.unet(128)
    assert sum(layer.parameters for layer in unet) == sum(shapes("unet").values())
    attention = sum(count for name, count in shapes("unet").items() if "attentions." in name)
    assert sum(layer.parameters for layer in unet if layer.attention) == attention
    assert sum(layer.parameters for layer in mini.text_encoder()) == sum(shapes("text_encoder").values())


@pytest.mark.parametrize("model", ["sd1", "sd2"])
def test_the_parameters_counted_are_those_of_the_published_models(
    architectures: dict[str, Architecture], model: str
) -> None:
    architecture = architectures[model]
    assert sum(layer.parameters for layer in architecture.unet(512)) == architecture.parameters["unet"]
    assert sum(layer.parameters for layer in architecture.text_encoder()) == architecture.parameters["text_encoder"]


def test_a_forward_pass_has_the_operations_that_torch_counts(architectures: dict[str, Architecture]) -> None:
    # torch.utils.flop_counter on the UNets of diffusers: 803.27e9 at 512 px, 2149.11e9 at 768 px, 3.793e9 at 128 px.
    for model, resolution, counted in (("sd1", 512, 803.27e9), ("sd2", 768, 2149.11e9), ("mini", 128, 3.793e9)):
        operations = sum(layer.operations for layer in architectures[model].unet(resolution))
        assert operations == pytest.approx(counted, rel=1e-3)


def measured_config(row: dict[str, Any]) -> Config:
    changes = {f"training.{key}": value for key, value in row["changed"].items()}
    prior = {"prior.enabled": row["prior"], "prior.class_prompt": "a photo of a dog"}
    return Config().replace(
        PLAIN | prior | {"data.resolution": row["resolution"], "training.graph": row["graph"]} | changes
    )


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: f"{row['model']}-{row['resolution']}-{row['changed']}")
def test_the_memory_of_a_step_is_what_a_gpu_measured(
    architectures: dict[str, Architecture], row: dict[str, Any]
) -> None:
    parts = Memory(measured_config(row), architectures[row["model"]], "cuda").training()
    tensors = sum(count for part, count in parts.items() if part not in ("driver", "fragmentation")) / 2**20
    allowed = 64 + (0.07 if row["graph"] else 0.01) * row["mib"]
    assert abs(tensors - row["mib"]) < allowed


@pytest.mark.parametrize("way", ["no", "bf16", "graph"])
@pytest.mark.parametrize("key", ["training_batch_size", "data_resolution"])
def test_more_pictures_or_pixels_need_more_of_everything(
    architectures: dict[str, Architecture], way: str, key: str
) -> None:
    how = {"training_graph": way == "graph", "training_precision": "no" if way == "no" else "bf16"}
    steps = (1, 2, 4, 8) if key == "training_batch_size" else (256, 512, 768, 1024)
    configs = [config(**how, **{key: value}) for value in steps]
    for architecture in (architectures["sd1"], architectures["sd2"]):
        memory = [estimate(c, architecture, "cuda").peaks["training"] for c in configs]
        operations = [step_operations(c, architecture) for c in configs]
        for values in (memory, operations):
            assert all(less < more for less, more in itertools.pairwise(values))


@pytest.mark.parametrize(
    "saving",
    [
        {"training_gradient_checkpointing": True},
        {"training_optimizer": "adamw8bit"},
        {"training_batch_size": 1},
        {"training_layers": "attention"},
        {"training_graph": True},
        {"data_resolution": 448},
    ],
    ids=str,
)
def test_what_saves_memory_is_counted_as_less(architectures: dict[str, Architecture], saving: dict[str, Any]) -> None:
    full = config(training_batch_size=4, training_ema=False)
    assert needed(config(**{"training_batch_size": 4, **saving}), architectures["sd1"], "cuda") < needed(
        full, architectures["sd1"], "cuda"
    )


def test_a_checkpoint_is_set_aside_where_there_is_room_and_refuses_no_run(
    architectures: dict[str, Architecture],
) -> None:
    saving, never = (
        estimate(config(training_checkpoint_every=every), architectures["sd1"], "cuda") for every in (100, 0)
    )
    assert saving.memory_needed == never.memory_needed and never.copy == 0
    assert saving.copy == checkpoint_bytes(config(), architectures["sd1"])
    size, margin = saving.copy, COPY_MARGIN
    assert place_of_copy(size, size + margin, 0) == "gpu"
    assert place_of_copy(size, size + margin - 1, 2 * size) == "machine"
    assert place_of_copy(size, size, 2 * size - 1) == ""


def test_what_checkpoints_cost_is_foretold_by_what_they_cost_before(architectures: dict[str, Architecture]) -> None:
    rates = Rates(training=1e12, writing=1e8, copying=1e10)
    seconds = [
        estimate(config(training_checkpoint_every=every), architectures["sd1"], "cuda", rates).seconds
        for every in (100, 50)
    ]
    saves = [(config().training.steps - 1) // every for every in (100, 50)]
    size = checkpoint_bytes(config(), architectures["sd1"])
    assert [told["checkpoints"] for told in seconds] == pytest.approx([size * n / 1e10 for n in saves])
    assert seconds[0]["saving"] == seconds[1]["saving"] == pytest.approx(4 * 859_520_964 / 1e8)


def test_checkpoints_by_the_clock_are_as_many_as_the_training_is_long(architectures: dict[str, Architecture]) -> None:
    asked, architecture = config(training_checkpoint_every="auto"), architectures["sd1"]
    work, size = step_operations(asked, architecture) * asked.training.steps, checkpoint_bytes(asked, architecture)
    for minutes, kept in ((1, 0), (6, 1), (60, asked.training.checkpoints_kept)):
        told = estimate(asked, architecture, "cuda", Rates(training=work / (60 * minutes), copying=1e10))
        assert told.disk["checkpoints"] == size * (kept + 1)
        assert told.seconds["checkpoints"] == pytest.approx(size * (60 * minutes // CHECKPOINT_SECONDS) / 1e10)
    unknown = estimate(asked, architecture, "cuda")
    assert unknown.disk["checkpoints"] == size * (asked.training.checkpoints_kept + 1)


@pytest.mark.parametrize("device", ["cuda", "mps", "cpu"])
def test_parts_add_up(architectures: dict[str, Architecture], device: str) -> None:
    budget = estimate(config(training_ema=True), architectures["sd1"], device)
    assert sum(budget.memory.values()) == budget.memory_needed == max(budget.peaks.values())
    assert sum(budget.disk.values()) == budget.disk_needed > budget.disk_left > 0
    assert budget.duration is None and budget.seconds["training"] is None


def some_configs() -> Iterator[Config]:
    """Many that ask for much."""
    choices = itertools.product((1, 4), (512, 768), ("no", "bf16"), ("adamw", "auto"), (False, "auto"), (False, True))
    for batch, resolution, precision, optimizer, checkpointing, more in choices:
        yield config(
            training_batch_size=batch,
            data_resolution=resolution,
            training_precision=precision,
            training_optimizer=optimizer,
            training_gradient_checkpointing=checkpointing,
            training_text_encoder=more,
            training_ema=more,
            training_graph="auto",
        )


@pytest.mark.parametrize("room", [8, 10, 12, 16])
def test_the_change_that_is_named_makes_it_fit_and_nothing_in_it_is_idle(
    architectures: dict[str, Architecture], room: int
) -> None:
    refused = 0
    for asked in some_configs():
        decided = decide(asked, architectures["sd1"], "cuda", room * GIB)
        if needed(decided, architectures["sd1"], "cuda") <= room * GIB:
            continue
        refused += 1
        change = find_change(decided, architectures["sd1"], "cuda", room * GIB, 64)
        assert change
        assert needed(decided.replace(change), architectures["sd1"], "cuda") <= room * GIB
        for key in set(change) - {"training.batch_size", "training.accumulation"}:
            rest = {k: v for k, v in change.items() if k != key}
            assert needed(decided.replace(rest), architectures["sd1"], "cuda") > room * GIB, (change, key)
        assert words(change) in too_big(decided, architectures["sd1"], "cuda", room * GIB, "a GPU", 64).hint
    assert refused


def test_nothing_is_named_where_nothing_helps_or_nothing_is_wrong(architectures: dict[str, Architecture]) -> None:
    assert find_change(config(), architectures["sd1"], "cuda", 3 * GIB, 64) == {}
    assert find_change(config(), architectures["sd1"], "cuda", 80 * GIB, 64) == {}
    assert "--model mini" in too_big(config(), architectures["sd1"], "cuda", 3 * GIB, "a GPU", 64).hint


def test_auto_becomes_the_fastest_that_fits(architectures: dict[str, Architecture]) -> None:
    asked = Config().replace({"data.resolution": 512})
    order = []
    for gigabytes in range(60, 4, -1):
        room = gigabytes * GIB
        decided = decide(asked, architectures["sd1"], "cuda", room)
        choice = (decided.training.optimizer, decided.training.gradient_checkpointing)
        if choice not in order:
            order.append(choice)
        if gigabytes >= 12:
            assert needed(decided, architectures["sd1"], "cuda") <= (1 - SPARE) * room
    assert order[0] == ("adamw", False) and order[-1] == ("adamw8bit", True)
    smaller = next_smaller(asked, decide(asked, architectures["sd1"], "cuda", 80 * GIB), architectures["sd1"], "cuda")
    assert smaller is not None and smaller.training.optimizer == "adamw8bit"
    assert next_smaller(smaller, smaller, architectures["sd1"], "cuda") is None


def test_what_was_asked_for_is_left_alone(architectures: dict[str, Architecture]) -> None:
    decided = decide(config(), architectures["sd1"], "cuda", 2 * GIB)
    assert decided == config()


def test_the_way_of_least_memory_is_counted_to_fit_8_gb(architectures: dict[str, Architecture]) -> None:
    leanest = {"data.resolution": 512, "training.precision": "auto", "training.graph": True}
    asked = preset_config("low-vram").replace(leanest)
    assert needed(asked, architectures["sd1"], "cuda") <= (1 - SPARE) * 8 * GIB
    for plain in ({"training.graph": False}, {"training.ema": True}, {"training.precision": "fp16"}):
        assert needed(asked.replace(plain), architectures["sd1"], "cuda") > 8 * GIB


def test_an_optimizer_whose_package_is_missing_is_not_named(
    architectures: dict[str, Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbtui.core import fit

    large = config(training_optimizer="adamw", training_gradient_checkpointing=True)
    free = needed(large, architectures["sd1"], "cuda") - 1
    assert "training.optimizer" in find_change(large, architectures["sd1"], "cuda", free, 64)
    monkeypatch.setattr(fit, "find_spec", lambda name: None)
    change = find_change(large, architectures["sd1"], "cuda", free, 64)
    assert change and "training.optimizer" not in change
