"""The examples of each step: which picture, view, timestep and noise, all drawn without state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dbtui.core.config import TrainingConfig
from dbtui.engine import draws
from dbtui.engine.latents import Latents
from dbtui.engine.ranks import ALONE, Ranks

INSTANCE, CLASS = 0, 1
"""Rows of the prompt embeddings."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of one forward pass, photos first. ``latents`` and ``noise`` are [B, C, h, w], fp32, on the CPU.

    ``position`` is that of its first photo in the endless sequence of photos.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    prompts: Tensor
    instances: int
    names: tuple[str, ...]
    position: int

    def to(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        parts = (self.latents, self.noise, self.timesteps, self.prompts)
        return tuple(part.to(device, non_blocking=True) for part in parts)  # type: ignore[return-value]

    def pinned(self) -> tuple[Tensor, ...]:
        """Latents, noise, timesteps and prompts in memory that a GPU copies from while this program goes on."""
        return tuple(part.pin_memory() for part in (self.latents, self.noise, self.timesteps, self.prompts))


class Examples:
    """Makes the batches of any step, in any order, always the same.

    Of several processes each gets its share of a step's batches; which one gets which changes none of them.
    """

    def __init__(
        self, photos: Latents, pictures: Latents | None, training: TrainingConfig, scaling: float, timesteps: int,
        ranks: Ranks = ALONE,
    ) -> None:  # fmt: skip
        self._sets = [photos] if pictures is None else [photos, pictures]
        self._training = training
        self._scaling = scaling
        self._timesteps = timesteps
        self._ranks = ranks

    def epoch(self, step: int) -> float:
        """How often each photo has been seen after ``step`` steps."""
        return step * self._training.photos_per_step / len(self._sets[0])

    def of_step(self, step: int) -> Iterator[Batch]:
        """This process's share of the batches that are added up in optimizer step ``step`` (from 0)."""
        size = self._training.batch_size
        for batch in range(self._ranks.index, self._training.batches_per_step, self._ranks.count):
            first = step * self._training.photos_per_step + batch * size
            yield self._batch(range(first, first + size))

    def _batch(self, positions: range) -> Batch:
        rows = [self._example(kind, position) for kind in range(len(self._sets)) for position in positions]
        latents, noise, timesteps, names = zip(*rows, strict=True)
        kinds = [kind for kind in range(len(self._sets)) for _ in positions]
        return Batch(
            latents=torch.stack(latents),
            noise=torch.stack(noise),
            timesteps=torch.tensor(timesteps),
            prompts=torch.tensor(kinds),
            instances=len(positions),
            names=names,
            position=positions.start,
        )

    def _example(self, kind: int, position: int) -> tuple[Tensor, Tensor, int, str]:
        """The example at ``position`` of the endless sequence of photos or class pictures."""
        seed, of, who = self._training.seed, self._sets[kind], ("photo", "class")[kind]
        picture = draws.pick(position, len(of), seed, f"{who} order")
        views = of.views[picture]
        view = views[draws.integer(len(views), seed, f"{who} view", position)]
        shape = tuple(of.mean.shape[1:])
        latent = of.mean[view] + of.deviation[view] * draws.normal(shape, seed, f"{who} posterior", position)
        noise = draws.normal(shape, seed, f"{who} noise", position)
        timestep = draws.integer(self._timesteps, seed, f"{who} timestep", position)
        return latent * self._scaling, noise, timestep, of.names[picture]
