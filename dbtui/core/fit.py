"""Whether a run fits the memory: what auto becomes, and the least change that makes it fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec

from dbtui.core.architecture import Architecture
from dbtui.core.budget import estimate
from dbtui.core.config import Config
from dbtui.core.errors import DbtuiError
from dbtui.core.fields import AUTO, Value
from dbtui.core.units import format_bytes

SPARE = 0.03
"""Share of the memory that auto leaves free: three times what the estimate was ever found too low."""

MEMORY = {"cuda": "GPU memory", "mps": "memory", "cpu": "memory"}

LEAST_RESOLUTION = 256
"""Pixels; Stable Diffusion draws nothing recognisable in less."""


def needed(config: Config, architecture: Architecture, device: str) -> int:
    """Bytes of memory that each process of the run needs on ``device``."""
    return estimate(config, architecture, device).memory_needed


def decide(config: Config, architecture: Architecture, device: str, free: int, half: str = "bf16") -> Config:
    """``config`` without auto in precision, optimizer and checkpointing: the fastest that fits ``free`` bytes.

    The one that needs least if none fits. ``half``: the 16-bit numbers that the device is good at.
    """
    choices = _choices(config, device, half)
    if device != "cuda":  # there, memory is not what is short
        return choices[0]
    fitting = (choice for choice in choices if needed(choice, architecture, device) <= (1 - SPARE) * free)
    return next(fitting, min(choices, key=lambda choice: needed(choice, architecture, device)))


def next_smaller(config: Config, tried: Config, architecture: Architecture, device: str) -> Config | None:
    """What auto in ``config`` leaves to try after ``tried`` was too big; None if nothing."""
    limit = needed(tried, architecture, device)
    choices = _choices(config, device, str(tried.training.precision))
    return next((choice for choice in choices if needed(choice, architecture, device) < limit), None)


def _choices(config: Config, device: str, half: str) -> list[Config]:
    """What auto can become, the fastest first."""
    training = config.training
    if training.precision == AUTO:
        config = config.replace({"training.precision": half if device == "cuda" else "no"})
    checkpointing = (False, True) if training.gradient_checkpointing == AUTO else (training.gradient_checkpointing,)
    optimizers = ("adamw", "adamw8bit") if training.optimizer == AUTO else (training.optimizer,)
    return [
        config.replace({"training.gradient_checkpointing": c, "training.optimizer": o})
        for c in checkpointing
        for o in optimizers
    ]


def find_change(config: Config, architecture: Architecture, device: str, free: int, multiple: int) -> dict[str, Value]:
    """The parameters to change so that ``config`` fits ``free`` bytes: the most harmless, and none that could stay.

    Empty if nothing is needed, or nothing helps. ``multiple``: pixels by which the resolution can be lowered.
    """

    def fits(changes: Iterable[Mapping[str, Value]]) -> bool:
        return needed(config.replace(_merged(changes)), architecture, device) <= free

    if fits([]):
        return {}
    taken: list[dict[str, Value]] = []
    for change in _changes(config, device, multiple):
        taken.append(change)
        if fits(taken):
            break
    else:
        return {}
    idle = taken[:1]
    while idle:  # the most harmful is given up first
        idle = [change for change in reversed(taken) if fits(other for other in taken if other is not change)][:1]
        taken = [change for change in taken if change not in idle]
    return _merged(taken)


def _merged(changes: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    return {key: value for change in changes for key, value in change.items()}


def _changes(config: Config, device: str, multiple: int) -> Iterator[dict[str, Value]]:
    """What needs less memory, in the order of the harm it does. What is auto is as small as it can be already."""
    training = config.training
    if device == "cuda" and training.precision == "no":
        yield {"training.precision": "bf16"}
    if training.optimizer == "adamw" and find_spec("bitsandbytes"):
        yield {"training.optimizer": "adamw8bit"}
    if training.gradient_checkpointing is False:
        yield {"training.gradient_checkpointing": True}
    if training.batch_size > 1:
        # The same photos in each step.
        yield {"training.batch_size": 1, "training.accumulation": min(256, training.batch_size * training.accumulation)}
        yield {"training.batch_size": 1, "training.accumulation": training.accumulation}
    if config.sampling.every:
        yield {"sampling.every": 0}
    if training.text_encoder:
        yield {"training.text_encoder": False}
    if training.ema:
        yield {"training.ema": False}
    if training.layers == "all":
        yield {"training.layers": "attention"}
    resolution = 0 if config.data.resolution == AUTO else int(config.data.resolution)
    for smaller in range(resolution - multiple, min(LEAST_RESOLUTION, resolution) - 1, -multiple):
        yield {"data.resolution": smaller}


def words(change: Mapping[str, Value]) -> str:
    """``change`` as it is said to ``dbtui train``."""
    return " ".join(f"--set {key}={str(value).lower()}" for key, value in change.items())


def too_big(
    config: Config, architecture: Architecture, device: str, room: int, where: str, multiple: int, needs: int = 0
) -> DbtuiError:
    """The error for a run that does not fit ``room`` bytes of the machine called ``where``.

    ``needs``: what was measured, where that is known better than counted.
    """
    counted = needed(config, architecture, device)
    needs = needs or counted
    # What was measured says how far the count is off, and the change has to make up for that too.
    change = find_change(config, architecture, device, int(room * min(1.0, counted / needs)), multiple)
    if change:
        less = needed(config.replace(change), architecture, device) * max(1.0, needs / counted)
        hint = f"{words(change)} makes it {format_bytes(less)}."
    else:
        hint = "No parameter makes it small enough; --model mini needs least."
    return DbtuiError(
        "This does not fit the memory",
        f"The run needs about {format_bytes(needs)} of {MEMORY[device]}, and {where} has {format_bytes(room)}.",
        hint,
    )
