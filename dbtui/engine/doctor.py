"""What torch, its libraries and the device can really do here: tried, not assumed. One JSON line for each finding.

Each line is preceded by ``{"trying": name}``, so that whoever reads knows what a crash came from, and the
last is ``{"end": true}``.
"""

from __future__ import annotations

import json
import platform
import warnings
from collections.abc import Callable
from typing import Any

Facts = dict[str, Any]


def report(write: Callable[[str], object]) -> None:
    """Try everything in turn. A finding that failed has ``problem``, and what depends on it is left out."""
    for name, find in FINDINGS.items():
        write(json.dumps({"trying": name}) + "\n")
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                facts = find()
            except Exception as error:  # whatever is broken, saying so is the purpose
                facts = {"problem": first_line(error)}
        if warned and facts.get("problem") == "":
            facts["problem"] = first_line(warned[-1].message)
        write(json.dumps({"found": name, **facts}) + "\n")
        if name == "torch" and "problem" in facts:
            break
    write(json.dumps({"end": True}) + "\n")


def first_line(error: object) -> str:
    """What an error or a warning says, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def find_torch() -> Facts:
    import torch

    return {"version": str(torch.__version__), "cuda": torch.version.cuda, "hip": torch.version.hip}


def find_device() -> Facts:
    """Where training would be computed, and the devices of that kind."""
    import torch

    if torch.cuda.is_available():
        torch.ones(8, device="cuda").sum().item()  # a chip that this torch has no code for fails here
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return {
            "device": "cuda",
            "names": names,
            "capability": list(torch.cuda.get_device_capability()),
            "cudnn": torch.backends.cudnn.version(),
            "bf16": torch.cuda.is_bf16_supported(including_emulation=False),
        }
    if torch.backends.mps.is_available():
        return {"device": "mps", "names": ["Apple GPU"], "bf16": False}
    # A GPU that cannot be used is told as a warning; the empty problem leaves room for it.
    return {"device": "cpu", "names": [platform.processor() or platform.machine()], "bf16": False, "problem": ""}


def find_libraries() -> Facts:
    """All that a training imports."""
    import dbtui.engine.loop  # noqa: F401

    return {}


def find_attention() -> Facts:
    """Ways to compute attention, each with why it cannot be used here; ``""`` if it can, forwards and backwards."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention

    device = _device()
    number = torch.float32 if device == "cpu" else torch.bfloat16 if find_device()["bf16"] else torch.float16

    def problem(backend: Any) -> str:
        # Heads of 40 are those of Stable Diffusion 1.5, in its largest layers.
        q, k, v = (torch.randn(2, 8, 64, 40, device=device, dtype=number, requires_grad=True) for _ in range(3))
        try:
            with sdpa_kernel(backend):
                scaled_dot_product_attention(q, k, v).sum().backward()  # type: ignore[no-untyped-call]
            return "" if q.grad is not None and bool(torch.isfinite(q.grad).all()) else "its gradient is not finite"
        except Exception as error:  # each backend refuses in its own way
            return first_line(error)

    backends = {
        "flash": SDPBackend.FLASH_ATTENTION,
        "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
        "cudnn": SDPBackend.CUDNN_ATTENTION,
        "math": SDPBackend.MATH,
    }
    return {"backends": {name: problem(backend) for name, backend in backends.items()}}


def find_eight_bit() -> Facts:
    from dbtui.engine.machine import eight_bit_problem

    problem = eight_bit_problem(_device())
    return {"problem": problem} if problem else {}


def find_kernels() -> Facts:
    """Whether this program's own kernels, which Triton compiles here, give the right sum."""
    import torch

    if _device() != "cuda":
        return {"needless": True}
    from dbtui.engine.kernels.sums import column_sums

    numbers = torch.ones(64, 32, device="cuda")
    right = bool((column_sums(numbers, 32, numbers) == 64).all())
    return {} if right else {"problem": "a sum came out wrong"}


def _device() -> str:
    return str(find_device()["device"])


FINDINGS: dict[str, Callable[[], Facts]] = {
    "torch": find_torch,
    "device": find_device,
    "attention": find_attention,
    "eight_bit": find_eight_bit,
    "kernels": find_kernels,
    "libraries": find_libraries,
}
