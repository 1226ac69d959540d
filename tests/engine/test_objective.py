"""The objective against diffusers and against sums done by hand."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler

from dbtui.engine.objective import add_noise, dreambooth_loss, learning_rate, min_snr_weights, target

TIMESTEPS = torch.tensor([0, 10, 500, 999])


@pytest.fixture
def scheduler() -> DDPMScheduler:
    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


@pytest.fixture
def tensors() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 4, 3, 3, generator=generator), torch.randn(4, 4, 3, 3, generator=generator)


def test_noise_is_added_as_diffusers_does(scheduler: DDPMScheduler, tensors: tuple) -> None:
    latents, noise = tensors
    expected = scheduler.add_noise(latents, noise, TIMESTEPS)
    torch.testing.assert_close(add_noise(latents, noise, TIMESTEPS, scheduler.alphas_cumprod), expected)


def test_epsilon_target_is_the_noise(scheduler: DDPMScheduler, tensors: tuple) -> None:
    latents, noise = tensors
    assert target("epsilon", latents, noise, TIMESTEPS, scheduler.alphas_cumprod) is noise


def test_velocity_target_is_diffusers_velocity(scheduler: DDPMScheduler, tensors: tuple) -> None:
    latents, noise = tensors
    expected = scheduler.get_velocity(latents, noise, TIMESTEPS)
    torch.testing.assert_close(target("v_prediction", latents, noise, TIMESTEPS, scheduler.alphas_cumprod), expected)


def test_unknown_prediction_is_refused(scheduler: DDPMScheduler, tensors: tuple) -> None:
    with pytest.raises(ValueError, match="sample"):
        target("sample", *tensors, TIMESTEPS, scheduler.alphas_cumprod)


# Signal-to-noise ratios of 0, 1, 9 and 99.
ALPHAS = torch.tensor([0.0, 0.5, 0.9, 0.99], dtype=torch.float64)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("epsilon", [1, 1, 5 / 9, 5 / 99]), ("v_prediction", [0, 1 / 2, 5 / 10, 5 / 100])],
)
def test_min_snr_weighs_each_example(kind: str, expected: list[float]) -> None:
    weights = min_snr_weights(kind, torch.arange(4), ALPHAS, 5.0)
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_min_snr_of_zero_weighs_all_alike(kind: str) -> None:
    assert min_snr_weights(kind, torch.arange(4), ALPHAS, 0).tolist() == [1, 1, 1, 1]


def constant_errors(*errors: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A prediction and a target whose squared error is ``errors`` in each example."""
    roots = torch.tensor(errors).sqrt().view(-1, 1, 1, 1)
    return roots.expand(-1, 4, 2, 2), torch.zeros(len(errors), 4, 2, 2)


def test_loss_without_class_pictures_is_the_mean() -> None:
    losses = dreambooth_loss(*constant_errors(1, 3), torch.ones(2), 2, 0.5)
    assert losses.total.item() == pytest.approx(2)
    assert losses.prior is None


def test_prior_loss_is_added_with_its_weight() -> None:
    losses = dreambooth_loss(*constant_errors(1, 3, 10, 30), torch.ones(4), 2, 0.25)
    assert losses.instance.item() == pytest.approx(2)
    assert losses.prior is not None and losses.prior.item() == pytest.approx(20)
    assert losses.total.item() == pytest.approx(2 + 0.25 * 20)


def test_kinds_of_unlike_number_are_averaged_by_themselves() -> None:
    losses = dreambooth_loss(*constant_errors(4, 10, 20, 30), torch.ones(4), 1, 1.0)
    assert losses.total.item() == pytest.approx(4 + 20)


def test_each_example_keeps_its_own_min_snr_weight_beside_class_pictures() -> None:
    timesteps = torch.tensor([1, 3, 2, 0])
    weights = min_snr_weights("epsilon", timesteps, ALPHAS, 5.0).float()
    losses = dreambooth_loss(*constant_errors(1, 2, 3, 4), weights, 2, 0.5)
    instance = (1 * 1 + 2 * 5 / 99) / 2
    prior = (3 * 5 / 9 + 4 * 1) / 2
    assert losses.instance.item() == pytest.approx(instance)
    assert losses.total.item() == pytest.approx(instance + 0.5 * prior)
    assert losses.each.tolist() == pytest.approx([1, 2, 3, 4])


def test_loss_of_half_precision_is_summed_in_fp32() -> None:
    prediction, wanted = constant_errors(1, 1)
    assert dreambooth_loss(prediction.bfloat16(), wanted.bfloat16(), torch.ones(2), 2, 1.0).total.dtype == torch.float32


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_warm_up_rises_evenly_and_already_learns_in_its_first_step(schedule: str) -> None:
    rates = [learning_rate(step, 10, 1.0, schedule, 4) for step in range(5)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_schedules_go_down_without_reaching_zero() -> None:
    linear = [learning_rate(step, 4, 1.0, "linear", 0) for step in range(4)]
    cosine = [learning_rate(step, 4, 1.0, "cosine", 0) for step in range(4)]
    assert linear == pytest.approx([1, 0.75, 0.5, 0.25])
    assert cosine == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert [learning_rate(step, 4, 1.0, "constant", 0) for step in range(4)] == [1, 1, 1, 1]


def test_warm_up_may_take_the_whole_run() -> None:
    assert [learning_rate(step, 2, 1.0, "cosine", 2) for step in range(2)] == [0.5, 1.0]
