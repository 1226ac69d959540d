"""The loss of DreamBooth, as pure functions of tensors.

Shapes: B examples, latents [B, C, h, w], timesteps [B], ``alphas`` [T] is the cumulative
product of 1 - beta of the noise schedule.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Losses:
    """``total`` is what is differentiated; the parts and ``each`` (per example, unweighted) are for people."""

    total: Tensor
    instance: Tensor
    prior: Tensor | None
    each: Tensor


def add_noise(latents: Tensor, noise: Tensor, timesteps: Tensor, alphas: Tensor) -> Tensor:
    """The noised latents at ``timesteps`` (Ho et al. 2020, eq. 4)."""
    alpha = alphas[timesteps].view(-1, 1, 1, 1)
    return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise


def target(kind: str, latents: Tensor, noise: Tensor, timesteps: Tensor, alphas: Tensor) -> Tensor:
    """What the UNet is to predict: the noise, or the velocity (Salimans and Ho 2022, appendix D)."""
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        alpha = alphas[timesteps].view(-1, 1, 1, 1)
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    raise ValueError(f"no objective for prediction type {kind!r}")


def min_snr_weights(kind: str, timesteps: Tensor, alphas: Tensor, gamma: float) -> Tensor:
    """A weight [B] for each example by its own timestep (Hang et al. 2023); all 1 for ``gamma`` 0.

    For epsilon min(snr, gamma) / snr, for velocity min(snr, gamma) / (snr + 1); written so
    that a signal-to-noise ratio of 0 divides by nothing.
    """
    if gamma == 0:
        return torch.ones_like(timesteps, dtype=alphas.dtype)
    snr = alphas[timesteps] / (1 - alphas[timesteps])
    if kind == "v_prediction":
        return snr.clamp(max=gamma) / (snr + 1)
    return (gamma / snr).clamp(max=1)


def dreambooth_loss(prediction: Tensor, wanted: Tensor, weights: Tensor, instances: int, prior_weight: float) -> Losses:
    """Mean squared error of the photos, plus ``prior_weight`` times that of the class pictures.

    The first ``instances`` examples are photos, the rest class pictures; each kind is averaged
    by itself (Ruiz et al. 2022, eq. 2). ``weights`` [B] multiply each example's error.
    """
    each = F.mse_loss(prediction.float(), wanted.float(), reduction="none").mean((1, 2, 3))
    weighted = each * weights
    instance = weighted[:instances].mean()
    if instances == len(weighted):
        return Losses(instance, instance.detach(), None, each.detach())
    prior = weighted[instances:].mean()
    return Losses(instance + prior_weight * prior, instance.detach(), prior.detach(), each.detach())


def learning_rate(step: int, steps: int, rate: float, schedule: str, warmup: int) -> float:
    """The rate of optimizer step ``step`` (from 0): a rise over ``warmup`` steps, then the schedule.

    The first warm-up step already learns, and the last step of a falling schedule still does.
    """
    if step < warmup:
        return rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    if schedule == "linear":
        return rate * (1 - progress)
    if schedule == "cosine":
        return rate * (1 + torch.cos(torch.tensor(torch.pi * progress, dtype=torch.float64)).item()) / 2
    return rate
