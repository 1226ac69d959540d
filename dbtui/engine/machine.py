"""What this machine can do, and what becomes of the parameters that ask for more or say auto."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from dbtui.core.config import TrainingConfig
from dbtui.core.fields import AUTO
from dbtui.core.units import format_bytes

GIB = 2**30


@dataclass(slots=True)
class Plan:
    """How the training runs here. ``notices`` say what was asked for and is done otherwise."""

    device: str
    precision: str
    optimizer: str
    gradient_checkpointing: bool
    notices: list[str] = field(default_factory=list)

    def words(self) -> str:
        checkpointing = "with" if self.gradient_checkpointing else "without"
        precision = "32 bit" if self.precision == "no" else self.precision
        return f"{device_words(self.device)}, {precision}, {self.optimizer}, {checkpointing} gradient checkpointing"


def device_words(device: str) -> str:
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        return f"{properties.name} with {format_bytes(properties.total_memory)}"
    return {"mps": "Apple GPU"}.get(device, f"CPU with {torch.get_num_threads()} threads")


def make_plan(training: TrainingConfig, device: str, trained: int, resolution: int, pictures: int) -> Plan:
    """Decide what is auto and replace what cannot be had here.

    ``trained`` parameters, ``pictures`` in one forward pass (class pictures count).
    """
    notices: list[str] = []
    precision = _precision(training.precision, device, notices)
    optimizer = training.optimizer
    checkpointing = training.gradient_checkpointing
    if AUTO in (optimizer, checkpointing):
        fits = _first_that_fits(device, trained, resolution, pictures, optimizer, checkpointing)
        optimizer = fits[0] if optimizer == AUTO else optimizer
        checkpointing = fits[1] if checkpointing == AUTO else checkpointing
    if optimizer == "adamw8bit":
        problem = eight_bit_problem(device)
        if problem:
            notices.append(
                f"8-bit Adam does not work here ({problem}); using AdamW, whose state is four times as large."
            )
            optimizer = "adamw"
    return Plan(device, precision, str(optimizer), bool(checkpointing), notices)


def _precision(asked: str, device: str, notices: list[str]) -> str:
    half = torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else False
    best = ("bf16" if half else "fp16") if device == "cuda" else "no"
    if asked == AUTO:
        return best
    if asked == "fp16" and device != "cuda":
        notices.append("fp16 needs an NVIDIA or AMD GPU and there is none; using 32 bit, which is slower and as good.")
        return "no"
    if asked == "bf16" and device == "cuda" and not half:
        notices.append("This GPU has no bf16; using fp16.")
        return "fp16"
    if asked == "bf16" and device == "mps":
        notices.append("bf16 is not dependable on Apple GPUs; using 32 bit.")
        return "no"
    return asked


def _first_that_fits(
    device: str, trained: int, resolution: int, pictures: int, optimizer: str, checkpointing: bool | str
) -> tuple[str, bool]:
    """The fastest of the combinations allowed that should fit; the smallest if none does."""
    choices = [
        (o, c)
        for c in ((False, True) if checkpointing == AUTO else (bool(checkpointing),))
        for o in (("adamw", "adamw8bit") if optimizer == AUTO else (optimizer,))
    ]
    if device != "cuda":
        return choices[0]
    free, _ = torch.cuda.mem_get_info()
    for choice in choices:
        if estimate_memory(trained, resolution, pictures, *choice) < 0.92 * free:
            return choice
    return choices[-1]


def estimate_memory(trained: int, resolution: int, pictures: int, optimizer: str, checkpointing: bool) -> float:
    """Bytes on the GPU: weights, gradients and optimizer state of the trained parameters, and activations.

    Activations grow with the pixels and, roughly, with the parameters of the UNet.
    The constants are counted, not fitted to a GPU, and lean to the safe side.
    """
    state = trained * (16 if optimizer == "adamw" else 10.5)
    activations = (1.2 if checkpointing else 4.5) * GIB * pictures * (resolution / 512) ** 2 * trained / 860e6
    return state + activations + 1.5 * GIB


def eight_bit_problem(device: str) -> str:
    """Why bitsandbytes' 8-bit Adam cannot be used on ``device``; ``""`` if a step of it works."""
    try:
        import bitsandbytes

        weight = torch.nn.Parameter(torch.ones(8192, device=device))
        before = weight.detach().clone()
        weight.grad = torch.ones_like(weight)
        bitsandbytes.optim.AdamW8bit([weight], lr=1e-2).step()
        return "" if bool((weight != before).all()) else "a step changed nothing"
    except Exception as error:  # whatever a missing library or driver raises, the answer is the same
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
