"""Sizes, rates and times of the recipe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """What is built and for how long it is trained. Pictures have ``resolution`` pixels a side, latents a quarter of it.

    Where a number of steps is given it counts in place of the minutes, so that two runs do the same.
    """

    resolution: int = 128
    compositions: int = 409_600
    vocabulary: int = 3050
    seed: int = 0

    autoencoder_channels: tuple[int, ...] = (32, 64, 128)
    autoencoder_layers: int = 2
    autoencoder_batch: int = 64
    autoencoder_rate: float = 1e-3
    autoencoder_minutes: float = 5.0
    autoencoder_steps: int = 0

    unet_channels: tuple[int, ...] = (64, 128, 224)
    groups: int = 32
    width: int = 256
    text_layers: int = 4
    heads: int = 4
    batch: int = 512
    rate: float = 8e-4
    minutes: float = 11.0
    steps: int = 0
    warmup: int = 300


TINY = Plan(
    resolution=32,
    compositions=256,
    vocabulary=900,
    autoencoder_channels=(8, 8, 16),
    autoencoder_layers=1,
    autoencoder_batch=16,
    autoencoder_rate=3e-3,
    autoencoder_steps=40,
    unet_channels=(16, 16, 32),
    groups=8,
    width=32,
    text_layers=1,
    batch=32,
    rate=3e-3,
    steps=40,
    warmup=5,
)
"""For a look at whether the recipe works: seconds on a CPU, and nothing to look at."""
