"""What this machine can do, and what becomes of the parameters that ask for more or say auto."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field

import torch

from dbtui.core.architecture import Architecture
from dbtui.core.config import Config, TrainingConfig
from dbtui.core.fields import AUTO
from dbtui.core.fit import decide
from dbtui.core.units import format_bytes


@dataclass(slots=True)
class Plan:
    """How the training runs here. ``notices`` say what was asked for and is done otherwise."""

    device: str
    precision: str
    optimizer: str
    gradient_checkpointing: bool
    graph: bool = False
    """Whether a step is one CUDA graph of this program's kernels."""
    lean: bool = False
    """Whether it keeps the least in GPU memory: with the same kernels, and gradients in the machine's memory."""
    notices: list[str] = field(default_factory=list)

    def applied_to(self, config: Config) -> Config:
        """``config`` as it is carried out here."""
        return config.replace(
            {
                "training.precision": self.precision,
                "training.optimizer": self.optimizer,
                "training.gradient_checkpointing": self.gradient_checkpointing,
                "training.graph": self.graph or self.lean,
            }
        )

    def words(self) -> str:
        checkpointing = "with" if self.gradient_checkpointing else "without"
        precision = "32 bit" if self.precision == "no" else self.precision
        graph = ", as a CUDA graph" if self.graph else ", gradients in the machine's memory" if self.lean else ""
        return (
            f"{device_words(self.device)}, {precision}, {self.optimizer}, {checkpointing} gradient checkpointing{graph}"
        )


def device_words(device: str) -> str:
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        return f"{properties.name} with {format_bytes(properties.total_memory)}"
    return {"mps": "Apple GPU"}.get(device, f"CPU with {torch.get_num_threads()} threads")


def unused_memory() -> int:
    """Bytes of the GPU that new tensors of this process could have: those that are free, and those it keeps for more."""
    return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()


def make_plan(config: Config, architecture: Architecture, device: str, free: int) -> Plan:
    """Decide what is auto for a device with ``free`` bytes, and replace what cannot be had here."""
    notices: list[str] = []
    precision = _precision(config.training.precision, device, notices)
    decided = decide(config.replace({"training.precision": precision}), architecture, device, free)
    training, optimizer = decided.training, str(decided.training.optimizer)
    if optimizer == "adamw8bit":
        problem = eight_bit_problem(device)
        if problem:
            notices.append(
                f"8-bit Adam does not work here ({problem}); using AdamW, whose state is four times as large."
            )
            optimizer = "adamw"
    plan = Plan(device, precision, optimizer, bool(training.gradient_checkpointing), notices=notices)
    problem = graph_problem(plan, training)
    alone = training.processes == 1
    plan.lean = training.graph is True and alone and not split_problem(plan, training) and optimizer == "adamw8bit"
    if training.graph is True and problem and not plan.lean:
        notices.append(f"The step cannot be a CUDA graph here ({problem}); it is computed in the plain way.")
    plan.graph = training.graph is not False and not problem
    return plan


def graph_problem(plan: Plan, training: TrainingConfig) -> str:
    """Why a step cannot be one CUDA graph of this program's kernels; ``""`` if nothing is known against it."""
    reasons = {
        "the optimizer is not AdamW": plan.optimizer != "adamw",
        "gradient checkpointing is on": plan.gradient_checkpointing,
    }
    return split_problem(plan, training) or next((reason for reason, holds in reasons.items() if holds), "")


def split_problem(plan: Plan, training: TrainingConfig) -> str:
    """Why a step cannot work on bf16 weights with fp32 masters and this program's kernels; ``""`` if it can."""
    reasons = {
        "the precision is not bf16": plan.precision != "bf16",
        "EMA is on": training.ema,
    }
    return kernels_problem(plan.device) or next((reason for reason, holds in reasons.items() if holds), "")


def kernels_problem(device: str) -> str:
    """Why this program's kernels cannot be used on ``device``; ``""`` if nothing is known against it."""
    if device != "cuda" or torch.version.cuda is None:
        return "there is no NVIDIA GPU"
    return "" if importlib.util.find_spec("triton") else "Triton is not installed"


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


def has_fast_bf16(device: str) -> bool:
    """Whether a CPU has units for matrices in bf16, which make it twice as fast as 32 bit; without them it is slower."""
    return (
        device == "cpu"
        and hasattr(torch.cpu, "get_capabilities")
        and torch.cpu.get_capabilities().get("amx_bf16", False)
    )


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
