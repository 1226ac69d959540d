"""Named sets of parameters, each with the reason to choose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dbtui.core.config import Config, read_config
from dbtui.core.errors import UsageError, printable
from dbtui.core.fields import Value, nearest


@dataclass(frozen=True, slots=True)
class Preset:
    """A partial config: what differs from the table's defaults."""

    name: str
    summary: str
    values: dict[str, Value]
    with_prior: dict[str, Value] = field(default_factory=dict)
    """What differs further where prior preservation is on."""


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "balanced",
            "500 steps of 2 photos, in the fastest way that fits the machine. The default.",
            {},
        ),
        Preset(
            "tutorial",
            "The settings of the well-known DreamBooth tutorial, for 16 GB of GPU memory; slow and exact.",
            {
                "data.resolution": 512,
                "data.center_crop": True,
                "training.learning_rate": 5e-6,
                "training.steps": 500,
                "training.batch_size": 1,
                "training.accumulation": 2,
                "training.max_grad_norm": 1.0,
                "training.precision": "no",
                "training.gradient_checkpointing": True,
                "training.optimizer": "adamw8bit",
                "training.seed": 34354,
                "prior.enabled": False,
                "prior.weight": 0.5,
                "prior.batch_size": 2,
                "prior.guidance": 7.5,
                "sampling.guidance": 7.5,
                "sampling.steps": 75,
            },
        ),
        Preset(
            "low-vram",
            "The same learning in the least GPU memory: 8-bit Adam, gradient checkpointing, gradients outside; slow.",
            {
                # Both photos at once: a second batch would find the gradients of the first in its way.
                "training.gradient_checkpointing": True,
                "training.optimizer": "adamw8bit",
                "training.graph": True,  # with 8-bit Adam: its kernels, and gradients in the machine's memory
                "prior.batch_size": 1,
                "sampling.count": 2,
                "sampling.graph": False,  # which takes a copy of the UNet
            },
        ),
        Preset(
            "mini",
            "For the embedded model: minutes on two CPU cores.",
            {
                "model.base": "mini",
                "data.resolution": 128,
                "training.steps": 300,
                "training.batch_size": 2,
                "training.learning_rate": 2e-4,
                "training.schedule": "cosine",
                "training.layers": "attention",
                "training.text_encoder": True,
                "training.text_encoder_rate": 0.5,
                "training.precision": "no",
                "training.optimizer": "adamw",
                "training.gradient_checkpointing": False,
                "training.checkpoint_every": 100,
                "prior.class_images": 24,
                "prior.guidance": 5.0,
                "sampling.every": 100,
                "sampling.steps": 20,
            },
            # Noise in which the subject is hardly told counts most: two thirds of the steps are enough then.
            with_prior={"training.steps": 200, "training.learning_rate": 3e-4, "training.min_snr_gamma": 1.0},
        ),
    )
}

DEFAULT = "balanced"


def find_preset(name: str) -> Preset:
    """The preset called ``name``. Raises UsageError with the nearest name."""
    if name in PRESETS:
        return PRESETS[name]
    near = nearest(name, PRESETS)
    hint = f"Did you mean {near!r}?" if near else "\n".join(f"{p.name}: {p.summary}" for p in PRESETS.values())
    raise UsageError(f"There is no preset {printable(name)!r}", f"The presets are {', '.join(PRESETS)}.", hint)


def preset_config(name: str, prior: bool = False) -> Config:
    """The defaults with the preset's values, for a run with or without prior preservation."""
    preset = find_preset(name)
    return Config().replace({**preset.values, **(preset.with_prior if prior else {})})


def preset_for(model: str) -> str:
    """The preset that suits a model when none was asked for."""
    return "mini" if model == "mini" else DEFAULT


def assemble(preset: str, file: Path | None, changes: Mapping[str, Value]) -> Config:
    """The preset's config, then what the file says, then ``changes``; the later wins.

    With no preset named, the one that suits the model. Raises UsageError.
    """
    written = "" if file is None else read_config(file)  # once: it may be a pipe
    if not preset:
        model = changes.get("model.base") or Config.from_toml(written).model.base
        preset = preset_for(str(model))
    for prior in (False, True):
        config = Config.from_toml(written, onto=preset_config(preset, prior)).replace(changes)
        if not config.prior.enabled:
            break
    return config
