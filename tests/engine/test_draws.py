"""Every draw is a function of seed, purpose and counter, however the examples are batched."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dbtui.core.config import TrainingConfig
from dbtui.engine import draws
from dbtui.engine.examples import CLASS, INSTANCE, Batch, Examples
from dbtui.engine.latents import Latents
from dbtui.engine.ranks import ALONE, Ranks


def test_draws_depend_on_seed_purpose_and_counter_alone() -> None:
    first = draws.normal((2, 3), 7, "noise", 5)
    torch.manual_seed(0)
    draws.normal((2, 3), 7, "noise", 6)
    assert torch.equal(draws.normal((2, 3), 7, "noise", 5), first)
    for other in ((8, "noise", 5), (7, "timestep", 5), (7, "noise", 6), (7, "noise", 5, 0)):
        assert not torch.equal(draws.normal((2, 3), *other), first)


def test_draws_leave_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    draws.normal((4,), 1, "noise", 0)
    draws.integer(10, 1, "timestep", 0)
    draws.pick(0, 5, 1, "order")
    assert torch.equal(torch.rand(1), expected)


def test_draws_of_other_counters_have_other_seeds() -> None:
    assert len({draws.mix(seed, "x", step) for seed in range(20) for step in range(20)}) == 400


def test_each_picture_comes_once_an_epoch_in_changing_order() -> None:
    epochs = [[draws.pick(5 * epoch + i, 5, 1, "order") for i in range(5)] for epoch in range(20)]
    assert all(sorted(epoch) == list(range(5)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 10


def test_timesteps_cover_the_whole_schedule() -> None:
    drawn = [draws.integer(1000, 1, "photo timestep", position) for position in range(4000)]
    assert min(drawn) < 10 and max(drawn) > 989
    assert sum(drawn) / len(drawn) == pytest.approx(499.5, abs=20)


def latents(count: int, views: int, kind: str) -> Latents:
    generator = torch.Generator().manual_seed(count)
    shape = (count * views, 4, 2, 2)
    return Latents(
        torch.randn(shape, generator=generator),
        torch.rand(shape, generator=generator),
        tuple(tuple(range(i * views, (i + 1) * views)) for i in range(count)),
        tuple(f"{kind}{i}.png" for i in range(count)),
    )


def examples(
    batch_size: int, accumulation: int, prior: bool = False, processes: int = 1, ranks: Ranks = ALONE
) -> Examples:
    training = replace(TrainingConfig(), batch_size=batch_size, accumulation=accumulation, processes=processes)
    pictures = latents(7, 1, "class") if prior else None
    return Examples(latents(5, 3, "photo"), pictures, training, 0.18215, 1000, ranks)


def rows(batches: list[Batch], kind: int) -> list[tuple]:
    return [
        (batch.names[i], int(batch.timesteps[i]), batch.latents[i].tolist(), batch.noise[i].tolist())
        for batch in batches
        for i in range(len(batch.names))
        if batch.prompts[i] == kind
    ]


@pytest.mark.parametrize("prior", [False, True], ids=["photos", "photos and class pictures"])
@pytest.mark.parametrize(("size", "accumulation"), [(1, 4), (2, 2)])
def test_a_step_has_the_same_examples_however_it_is_split(size: int, accumulation: int, prior: bool) -> None:
    whole, split = examples(4, 1, prior), examples(size, accumulation, prior)
    for step in (0, 1, 17):
        one, several = list(whole.of_step(step)), list(split.of_step(step))
        assert (len(one), len(several)) == (1, accumulation)
        for kind in (INSTANCE, CLASS):
            assert rows(one, kind) == rows(several, kind)


@pytest.mark.parametrize("prior", [False, True], ids=["photos", "photos and class pictures"])
@pytest.mark.parametrize(
    ("size", "accumulation", "processes", "here"),
    [(1, 1, 4, 4), (2, 1, 2, 2), (1, 2, 2, 2), (1, 1, 4, 2), (1, 4, 1, 2)],
)
def test_a_step_has_the_same_examples_however_many_processes_share_it(
    size: int, accumulation: int, processes: int, here: int, prior: bool
) -> None:
    """``processes`` is what the run was begun with, ``here`` how many are at it."""
    whole = examples(4, 1, prior)
    shares = [examples(size, accumulation, prior, processes, Ranks(index, here)) for index in range(here)]
    assert {share.epoch(5) for share in shares} == {whole.epoch(5)}
    for step in (0, 1, 17):
        each = [list(share.of_step(step)) for share in shares]
        assert {sum(batch.instances for batch in batches) for batches in each} == {4 // here}
        together = sorted((batch for batches in each for batch in batches), key=lambda batch: batch.position)
        assert [batch.position for batch in together] == list(range(4 * step, 4 * step + 4, size))
        for kind in (INSTANCE, CLASS):
            assert rows(list(whole.of_step(step)), kind) == rows(together, kind)


def test_a_step_does_not_depend_on_the_steps_before_it() -> None:
    walked = examples(2, 2)
    for step in range(9):
        list(walked.of_step(step))
    assert rows(list(walked.of_step(9)), INSTANCE) == rows(list(examples(2, 2).of_step(9)), INSTANCE)


def test_photos_come_before_class_pictures() -> None:
    (batch,) = examples(3, 1, prior=True).of_step(0)
    assert batch.instances == 3
    assert batch.prompts.tolist() == [INSTANCE] * 3 + [CLASS] * 3
    assert [name[:5] for name in batch.names] == ["photo"] * 3 + ["class"] * 3


def test_epoch_counts_how_often_each_photo_was_seen() -> None:
    assert examples(2, 2).epoch(5) == 4
    seen = [name for step in range(5) for batch in examples(2, 2).of_step(step) for name in batch.names]
    assert all(seen.count(name) == 4 for name in set(seen)) and len(set(seen)) == 5


def test_a_latent_is_mean_plus_deviation_times_noise_and_scaled() -> None:
    photos = latents(1, 1, "photo")
    training = replace(TrainingConfig(), batch_size=1, accumulation=1)
    (batch,) = Examples(photos, None, training, 0.5, 1000).of_step(3)
    noise = draws.normal((4, 2, 2), training.seed, "photo posterior", 3)
    torch.testing.assert_close(batch.latents[0], 0.5 * (photos.mean[0] + photos.deviation[0] * noise))
