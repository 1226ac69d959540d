"""What the learners on bf16 weights have in common: where the fp32 masters come from, and how they go into files."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dbtui.core.original import file_name
from dbtui.engine.learner import Learner
from dbtui.engine.machine import Plan
from dbtui.engine.models import load_weights
from dbtui.engine.split_weights import SplitWeights


class SplitLearner(Learner):
    """As ``Learner``, on bf16 weights with fp32 masters and this program's kernels; without EMA."""

    settled = True

    def _place(self, plan: Plan) -> None:
        from dbtui.engine.fused import fuse

        # A card for which little is enough has no room for both at once.
        originals = super().weights(Tensor.cpu if plan.lean else lambda weight: weight)
        self._untrained: dict[str, dict[str, Tensor]] = {}
        self._indices: dict[str, dict[str, int]] = {}
        masters, shares, parameters = [], [], []
        for component, module in self.trained.items():
            weights, indices = originals.pop(component), {}
            module.to(self.accelerator.device, torch.bfloat16, memory_format=torch.channels_last)
            for name, parameter in module.named_parameters():
                if parameter.requires_grad:
                    indices[file_name(component, name)] = len(parameters)
                    masters.append(weights.pop(file_name(component, name)))
                    parameters.append(parameter)
                    shares.append(self.share(component))
            self._untrained[component] = {name: weight.cpu() for name, weight in weights.items()}
            self._indices[component] = indices
        fuse(self.models.unet)
        # One by one: the moments, which come after them, find the room that they took.
        given_away = (masters.pop(0) for _ in range(len(masters)))
        self.optimizer = self._make_split_optimizer(parameters, given_away, shares)
        self._forward = dict(self.trained)

    @abstractmethod
    def _make_split_optimizer(
        self, parameters: list[nn.Parameter], masters: Iterable[Tensor], shares: list[float]
    ) -> SplitWeights:
        """What keeps the masters and changes the weights. ``shares``: learning rates as multiples of the run's."""

    def _arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()  # the weights have their type already

    def state(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])

    def weights(self, keep: Callable[[Tensor], Tensor] = Tensor.cpu) -> dict[str, dict[str, Tensor]]:
        """The fp32 masters as ``keep`` gives them, and what is not trained as the base model has it."""
        return {
            component: {name: keep(self.optimizer.master(index).contiguous()) for name, index in indices.items()}
            | self._untrained[component]
            for component, indices in self._indices.items()
        }

    def final_weights(self) -> Mapping[str, Mapping[str, Tensor]]:
        return {
            component: Masters(self.optimizer, indices, self._untrained[component])
            for component, indices in self._indices.items()
        }

    def load_weights(self, files: dict[str, Any]) -> None:
        for component, module in self.trained.items():
            weights = load_weights(module, component, files[component])
            for name, index in self._indices[component].items():
                self.optimizer.load_master(index, weights[name])


class Masters(Mapping[str, Tensor]):
    """The fp32 masters by name, each put together when it is asked for: for all at once a small card has no room."""

    def __init__(self, optimizer: SplitWeights, indices: Mapping[str, int], untrained: Mapping[str, Tensor]) -> None:
        self._optimizer, self._indices, self._untrained = optimizer, indices, untrained

    def __getitem__(self, name: str) -> Tensor:
        if name in self._indices:
            return self._optimizer.master(self._indices[name]).contiguous()
        return self._untrained[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._indices
        yield from self._untrained

    def __len__(self) -> int:
        return len(self._indices) + len(self._untrained)
