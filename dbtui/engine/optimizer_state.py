"""AdamW's moments from one way of computing to another: a run goes on wherever they can be carried over exactly.

The plain learner keeps them as torch does, tensor by tensor; the one of CUDA graphs (``split_adamw``) keeps all in
two long rows, in the order in which the weights lie in memory. Both have 32 bits, so that nothing is lost between them.
What has 8 bits is in blocks whose scales belong to one order of the elements, and stays with the way that made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dbtui.engine.split_weights import SplitWeights, places

PLAIN, SPLIT, EIGHT_BIT, LEAN = "AdamW", "AdamW on bf16 weights", "8-bit Adam", "8-bit Adam on bf16 weights"
"""The forms that a checkpoint can have the optimizer's state in."""

OPTIMIZERS = {PLAIN: "adamw", SPLIT: "adamw", EIGHT_BIT: "adamw8bit", LEAN: "adamw8bit"}
"""The value of ``training.optimizer`` that each belongs to."""


class FormError(ValueError):
    """The state has another form, and cannot be carried over exactly."""

    def __init__(self, form: str, wanted: str) -> None:
        super().__init__(
            f"its optimizer is {form}, and here it would be {wanted}, where it cannot be carried over exactly"
        )


def form_of(optimizer: Mapping[str, Any]) -> str:
    """The form of an optimizer's state; ``""`` before its first step."""
    if "first" in optimizer:
        return SPLIT
    if "moments" in optimizer:
        return LEAN
    kept = next(iter(optimizer["state"].values()), None)
    return "" if kept is None else PLAIN if "exp_avg" in kept else EIGHT_BIT


def as_plain(optimizer: Mapping[str, Any], parameters: Sequence[nn.Parameter]) -> dict[int, dict[str, Any]]:
    """The state of each of ``parameters`` as torch's AdamW has it, whatever form it is in.

    Raises FormError, or KeyError, ValueError or RuntimeError if it does not fit the parameters.
    """
    form = form_of(optimizer)
    if form in (EIGHT_BIT, LEAN):
        raise FormError(form, PLAIN)
    if form != SPLIT:
        return optimizer["state"]
    if not float(optimizer["steps"]):
        return {}
    starts = places(parameters)
    if len(optimizer["first"]) != starts[-1]:
        raise ValueError(f"it is of {len(optimizer['first']):,} weights and not of {starts[-1]:,}")
    return {
        index: {
            "step": optimizer["steps"].detach().cpu().clone(),
            "exp_avg": _tensor(optimizer["first"][start:], parameter),
            "exp_avg_sq": _tensor(optimizer["second"][start:], parameter),
        }
        for index, (start, parameter) in enumerate(zip(starts, parameters, strict=False))
    }


def as_split(optimizer: Mapping[str, Any], weights: SplitWeights) -> dict[str, Tensor]:
    """The state of all of ``weights`` in rows, as ``split_adamw`` has it, whatever form it is in. Raises as ``as_plain``."""
    form = form_of(optimizer)
    if form == SPLIT:
        return dict(optimizer)
    if form in (EIGHT_BIT, LEAN):
        raise FormError(form, SPLIT)
    state = optimizer["state"]
    steps = {float(kept["step"]) for kept in state.values()}
    if len(steps) > 1 or not all(0 <= index < len(weights.parameters) for index in state):
        raise ValueError("it is not of these weights, or they took unlike steps")
    rows = {
        row: weights.laid_out({index: kept[name] for index, kept in state.items()})
        for row, name in (("first", "exp_avg"), ("second", "exp_avg_sq"))
    }
    return {**rows, "steps": torch.tensor(steps.pop() if steps else 0.0)}


def _tensor(row: Tensor, parameter: nn.Parameter) -> Tensor:
    """The beginning of ``row`` in the shape of ``parameter``: kernels of convolutions lie there channels last."""
    part = row[: parameter.numel()]
    if parameter.dim() != 4:
        return part.view(parameter.shape).clone()
    outer, inner, *kernel = parameter.shape
    return part.view(outer, *kernel, inner).permute(0, 3, 1, 2).contiguous()
