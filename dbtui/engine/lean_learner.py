"""The learner of a small NVIDIA GPU: bf16 weights with exact fp32 masters, 8-bit moments, gradients elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dbtui.engine.eight_bit_adamw import EightBitAdamW
from dbtui.engine.examples import Batch
from dbtui.engine.learner import Tell
from dbtui.engine.split_learner import SplitLearner


class LeanLearner(SplitLearner):
    """As ``Learner``, with the same losses, masters and data; for one process, 8-bit Adam, bf16 and no EMA."""

    def _make_split_optimizer(
        self, parameters: list[nn.Parameter], masters: Iterable[Tensor], shares: list[float]
    ) -> EightBitAdamW:
        return EightBitAdamW(parameters, masters, shares, self._training.weight_decay, self._training.max_grad_norm)

    def warm_up(self, batches: list[Batch], tell: Tell) -> None:
        # What draws the samples and does not learn gets by with half.
        for part in (self.models.vae, self.models.text_encoder):
            if part not in self.trained.values():
                part.to(torch.bfloat16)
        if self.accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
        tell(0, 1)
        self.rehearse(batches)  # compiles; what does not work here is to fail here

    def _gradient_norm(self) -> Tensor:
        return self.optimizer.norm()

    def _set_rate(self, step: int) -> float:
        self.optimizer.rate = self.rate(step)
        return self.optimizer.rate
