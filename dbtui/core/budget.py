"""What a run will need: memory and disk by part, seconds by phase; counted in a fraction of a millisecond."""

from __future__ import annotations

from dataclasses import dataclass

from dbtui.core.architecture import Architecture
from dbtui.core.config import Config
from dbtui.core.fields import AUTO
from dbtui.core.memory import OPTIMIZER_BYTES, Memory, resolution_of, trained_parameters
from dbtui.core.rates import UNKNOWN, Rates

PNG_BYTES = 1.8
"""A pixel of a generated picture on the disk."""

CHECKPOINT_SECONDS = 300
"""Between two checkpoints where that is auto."""

COPY_MARGIN = 2**31
"""Bytes of a GPU that are left free beside a copy."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes and seconds. Each of ``memory``, ``disk`` and ``seconds`` is by part, in the order of its table."""

    memory: dict[str, int]
    """At the worst moment of the phase that needs most."""
    peaks: dict[str, int]
    """The most memory of each phase: encoding, training, sampling."""
    copy: int
    """What a checkpoint takes in addition while it is written, where there is room (``place_of_copy``)."""
    disk: dict[str, int]
    """When it holds most."""
    disk_left: int
    """What stays when the run is done."""
    seconds: dict[str, float | None]
    """None where nothing is known about the speed."""

    @property
    def memory_needed(self) -> int:
        return max(self.peaks.values())

    @property
    def disk_needed(self) -> int:
        return sum(self.disk.values())

    @property
    def duration(self) -> float | None:
        """Seconds in all, if all are known."""
        known = [part for part in self.seconds.values() if part is not None]
        return sum(known) if len(known) == len(self.seconds) else None


def estimate(
    config: Config, architecture: Architecture, device: str, rates: Rates = UNKNOWN, download: int = 0
) -> Budget:
    """What ``config`` needs on ``device`` (cuda, mps or cpu), in each of its processes.

    What is auto counts as the choice that needs least. ``download``: bytes of the model still on the hub.
    """
    phases = {
        phase: {part: round(count) for part, count in parts.items()}
        for phase, parts in Memory(config, architecture, device).phases().items()
    }
    peaks = {phase: sum(parts.values()) for phase, parts in phases.items()}
    return Budget(
        memory=phases[max(peaks, key=lambda phase: peaks[phase])],
        peaks=peaks,
        copy=checkpoint_bytes(config, architecture) if _saves(config, architecture, rates) else 0,
        disk={**_disk(config, architecture, rates), "download": download},
        disk_left=_disk_left(config, architecture, rates) + download,
        seconds=_seconds(config, architecture, device, rates),
    )


def place_of_copy(size: int, gpu_free: int, machine_free: int) -> str:
    """Where the state of a run is set aside while it is written: ``gpu``, ``machine``, or ``""`` if it is not.

    ``gpu_free`` and ``machine_free``: bytes that the run leaves there. Without room the training waits for the disk.
    """
    if gpu_free >= size + COPY_MARGIN:
        return "gpu"
    # Half of it: the disk's cache wants as much again.
    return "machine" if machine_free >= 2 * size else ""


def checkpoint_bytes(config: Config, architecture: Architecture) -> int:
    """Of one checkpoint: 32-bit weights of whole components, the optimizer's state, the average."""
    training = config.training
    moments = OPTIMIZER_BYTES["adamw8bit" if training.optimizer == "adamw8bit" else "adamw"]
    state = (moments + (4.0 if training.ema else 0.0)) * trained_parameters(config, architecture)
    return round(concept_bytes(config, architecture) + state)


def concept_bytes(config: Config, architecture: Architecture) -> int:
    """Of a concept: 32-bit weights of whole components, trained in part or not."""
    parts = ["unet"] + (["text_encoder"] if config.training.text_encoder else [])
    return 4 * sum(architecture.parameters[part] for part in parts)


def _disk(config: Config, architecture: Architecture, rates: Rates) -> dict[str, int]:
    """Bytes by part. A checkpoint is whole before an older one goes, and any step may be asked for one more."""
    prior, area = config.prior, resolution_of(config, architecture) ** 2
    latents = 4 * 2 * 4 * area // architecture.latent_factor**2  # mean and deviation, 4 channels, 32 bit
    return {
        "concept": concept_bytes(config, architecture),
        "checkpoints": checkpoint_bytes(config, architecture) * (_checkpoints(config, architecture, rates) + 1),
        "class pictures": round(prior.class_images * (area * PNG_BYTES + latents)) if prior.enabled else 0,
        "samples": round(_grids(config) * _pictures_of_grid(config) * area * PNG_BYTES),
    }


def _disk_left(config: Config, architecture: Architecture, rates: Rates) -> int:
    """Bytes that stay: of the checkpoints only the weights."""
    disk, concept = _disk(config, architecture, rates), concept_bytes(config, architecture)
    return disk["class pictures"] + disk["samples"] + concept * (1 + _checkpoints(config, architecture, rates))


def _checkpoints(config: Config, architecture: Architecture, rates: Rates) -> int:
    """Checkpoints that are kept at the end."""
    return min(config.training.checkpoints_kept, _saves(config, architecture, rates))


def _saves(config: Config, architecture: Architecture, rates: Rates) -> int:
    """Checkpoints that are written, the last step needs none; where it goes by a time that is not known, all that are kept."""
    training = config.training
    if training.checkpoint_every != AUTO:
        return (training.steps - 1) // int(training.checkpoint_every) if training.checkpoint_every else 0
    if not rates.training:
        return training.checkpoints_kept
    return int(step_operations(config, architecture) * training.steps / rates.training // CHECKPOINT_SECONDS)


def _grids(config: Config) -> int:
    every = config.sampling.every
    return -(-config.training.steps // every) if every else 0


def _pictures_of_grid(config: Config) -> int:
    return config.sampling.count * max(1, len(config.sampling.prompts))


def step_operations(config: Config, architecture: Architecture) -> float:
    """Of one optimizer step in one process; a backward pass is twice a forward pass."""
    training, pictures = config.training, config.training.batch_size * (2 if config.prior.enabled else 1)
    unet = sum(layer.operations for layer in architecture.unet(resolution_of(config, architecture)))
    words = sum(layer.operations for layer in architecture.text_encoder()) if training.text_encoder else 0.0
    passes = 4 if training.gradient_checkpointing is True else 3
    return passes * (unet * pictures + words) * training.accumulation


def grid_operations(config: Config, architecture: Architecture) -> float:
    """Of one grid of samples: each denoising step with the prompt and without."""
    unet = sum(layer.operations for layer in architecture.unet(resolution_of(config, architecture)))
    return 2 * unet * config.sampling.steps * _pictures_of_grid(config)


def _seconds(config: Config, architecture: Architecture, device: str, rates: Rates) -> dict[str, float | None]:
    """By phase, at the speeds that are known."""
    training, prior, sampling = config.training, config.prior, config.sampling
    grid = grid_operations(config, architecture)
    picture = grid / sampling.steps / _pictures_of_grid(config)
    checkpoints = checkpoint_bytes(config, architecture) * _saves(config, architecture, rates)

    def at(rate: float | None, amount: float) -> float | None:
        return 0.0 if not amount else amount / rate if rate else None

    return {
        "loading": rates.loading,
        "class pictures": at(rates.drawing, picture * prior.steps * prior.class_images if prior.enabled else 0.0),
        "training": at(rates.training, step_operations(config, architecture) * training.steps),
        "sampling": at(rates.drawing, grid * _grids(config)),
        "checkpoints": at(rates.copying or rates.writing, checkpoints),
        "saving": at(rates.writing, concept_bytes(config, architecture)),
    }
