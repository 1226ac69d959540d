"""What is refused before a run starts, without torch."""

from __future__ import annotations

from typing import Any

import pytest

from dbtui.core.config import Config, parse_assignment
from dbtui.core.errors import DbtuiError
from dbtui.core.rates import UNKNOWN, Rates, has_trained, recall, remember
from dbtui.core.subjects import SUBJECTS
from dbtui.jobs import forecast
from dbtui.jobs.begin import check
from dbtui.jobs.room import Room, find_room

GIB = 2**30
BEAR = SUBJECTS["teddy-bear"]


def config(**changes: Any) -> Config:
    asked = {"model.base": "mini", "data.folder": str(BEAR.folder), "data.resolution": 64}
    return Config().replace(asked | {key.replace("_", ".", 1): value for key, value in changes.items()})


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``room(total, free)`` puts a GPU of that many bytes into the machine."""

    def gpu(total: int, free: int) -> None:
        monkeypatch.setattr(forecast, "find_room", lambda processes: Room("cuda", "Small GPU", total, free))

    return gpu


def test_this_machine_has_room() -> None:
    here = find_room()
    assert 0 < here.free <= here.total and here.device in ("cpu", "cuda", "mps")
    assert find_room(2).free <= here.free


def test_what_cannot_fit_is_refused_with_the_change_that_makes_it_fit(room: Any) -> None:
    large = {"training_text_encoder": True, "training_ema": True, "training_optimizer": "adamw"}
    room(80 * GIB, 80 * GIB)
    needed = check(config(**large)).forecast.budget.memory_needed
    size = int(needed * 0.94)
    room(size, size)
    with pytest.raises(DbtuiError, match="does not fit") as caught:
        check(config(**large))
    assert "Small GPU" in caught.value.message and "Nothing was started" in caught.value.message
    change = dict(parse_assignment(word) for word in caught.value.hint.split() if "=" in word)
    assert check(config(**large).replace(change)).forecast.budget.memory_needed <= size


def test_memory_that_others_hold_is_told_apart(room: Any) -> None:
    room(80 * GIB, GIB // 4)
    with pytest.raises(DbtuiError, match="does not fit") as caught:
        check(config())
    assert "Other programs hold 79.8 GB of its 80.0 GB" in caught.value.hint
    room(GIB // 4, GIB // 4)
    with pytest.raises(DbtuiError) as caught:
        check(config())
    assert "Other programs" not in caught.value.hint


def test_auto_makes_do_with_what_is_free(room: Any) -> None:
    room(80 * GIB, 80 * GIB)
    large = check(config(training_batch_size=4)).forecast
    room(80 * GIB, int(large.budget.memory_needed * 0.99))
    small = check(config(training_batch_size=4)).forecast
    assert (large.config.training.optimizer, small.config.training.optimizer) == ("adamw", "adamw8bit")
    assert small.budget.memory_needed < large.budget.memory_needed


@pytest.mark.parametrize(
    ("changes", "hint"),
    [({"training_checkpoint_every": 100}, "checkpoints_kept=1"),
     ({"training_checkpoint_every": 100, "training_checkpoints_kept": 1}, "checkpoint_every=0"),
     ({"training_checkpoint_every": 450}, "checkpoint_every=0")],
)  # fmt: skip
def test_a_disk_that_is_too_full_is_said_with_both_numbers(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], hint: str
) -> None:
    needed = check(config(**changes)).forecast.budget.disk_needed
    monkeypatch.setattr(forecast, "free_space", lambda folder: needed - 1)
    with pytest.raises(DbtuiError, match="too full") as caught:
        check(config(**changes))
    assert hint in caught.value.hint and caught.value.message.count("MB") == 2
    monkeypatch.setattr(forecast, "free_space", lambda folder: needed)
    assert check(config(**changes)).forecast.disk_free == needed


def test_where_the_photos_of_the_class_fill_the_disk_nothing_that_does_not_help_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Checkpoints can be left out; half a million class pictures stay."""
    large = {"prior_enabled": True, "prior_class_prompt": "a photo of a toy", "prior_class_images": 5000}
    parts = check(config(**large)).forecast.budget.disk
    monkeypatch.setattr(forecast, "free_space", lambda folder: parts["class pictures"] // 2)
    with pytest.raises(DbtuiError, match="too full") as caught:
        check(config(**large))
    assert "--set" not in caught.value.hint and "Make room" in caught.value.hint


@pytest.mark.parametrize("left", [0.35, 0.5, 0.65, 0.8, 0.95])
def test_what_is_named_against_a_full_disk_really_makes_it_fit(monkeypatch: pytest.MonkeyPatch, left: float) -> None:
    asked = config(training_checkpoints_kept=5, training_checkpoint_every=10, sampling_every=1)
    needed = check(asked).forecast.budget.disk_needed
    monkeypatch.setattr(forecast, "free_space", lambda folder: int(needed * left))
    with pytest.raises(DbtuiError, match="too full") as caught:
        check(asked)
    change = dict(parse_assignment(word) for word in caught.value.hint.split() if "=" in word)
    assert check(asked.replace(change)).forecast.budget.disk_needed <= needed * left


def test_the_sentence_has_memory_time_and_disk() -> None:
    checked = check(config())
    assert "not known" in checked.forecast.words()
    room = find_room()
    remember(room.name, checked.forecast.config, Rates(loading=5, training=1e12, drawing=1e12, writing=1e8))
    told = check(config()).forecast.words()
    assert "not known" not in told and " s, " in told and "on disk" in told


def test_rates_are_recalled_for_other_parameters_of_the_same_model_only() -> None:
    remember("GPU", config(), Rates(training=3.0))
    remember("GPU", config(training_batch_size=4), Rates(training=5.0, drawing=7.0))
    assert recall("GPU", config()) == Rates(training=3.0, drawing=7.0)
    assert recall("GPU", config(training_batch_size=8)) == Rates(training=5.0, drawing=7.0)
    assert has_trained("GPU", config()) and not has_trained("GPU", config(training_batch_size=8))
    remember("GPU", config(training_graph=True), Rates(training=9.0))
    assert not has_trained("GPU", config(training_graph=False)), "a plain step is several times as slow"
    assert recall("Other GPU", config()) == recall("GPU", config(model_base="other/model")) == UNKNOWN


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"CPU": 3}', '{"GPU, mini": {"training": "fast", "drawing": -1}}'])
def test_a_damaged_memory_of_rates_is_no_memory(text: str) -> None:
    from dbtui.core import paths

    file = paths.make_private(paths.cache_dir()) / "rates.json"
    file.write_text(text)
    assert recall("GPU", config()) == UNKNOWN
    remember("GPU", config(), Rates(training=3.0))
    assert recall("GPU", config()).training == 3.0
