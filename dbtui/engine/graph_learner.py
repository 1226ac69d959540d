"""The learner of an NVIDIA GPU: bf16 weights with exact fp32 masters, each step replayed from a CUDA graph.

A step of Stable Diffusion 1.5 has about four thousand small kernels; launched one by one from
Python they take several times as long as they run. Captured once and replayed, they cost one launch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dbtui.engine.cuda_graph import captured, side_stream
from dbtui.engine.examples import Batch
from dbtui.engine.gradient_sum import GradientSum
from dbtui.engine.learner import Outcome, Tell
from dbtui.engine.split_learner import SplitLearner

if TYPE_CHECKING:
    from dbtui.engine.split_adamw import SplitAdamW

NUMBERS = 4
"""Of a step, beside each example's loss: total, photos', class pictures' loss, and the gradient's norm."""


@dataclass(slots=True)
class Replayed:
    """A step on its way through the GPU, and what it will have given."""

    learner: GraphLearner
    rate: float
    has_prior: bool
    names: list[str]
    numbers: Tensor
    arrived: torch.cuda.Event

    def over(self) -> bool:
        return self.arrived.query()

    def outcome(self) -> Outcome:
        """Waits for the step. Raises NotFiniteError; then neither it nor a later step has changed a weight."""
        self.arrived.synchronize()
        loss, instance, prior, norm, *each = self.numbers.tolist()
        outcome = Outcome(loss, instance, prior if self.has_prior else None, norm, self.rate)
        self.learner.refuse_not_finite(outcome, each, self.names)
        return outcome


class GraphLearner(SplitLearner):
    """As ``Learner``, with the same losses, masters and data; for AdamW, bf16 and no EMA."""

    def _make_split_optimizer(
        self, parameters: list[nn.Parameter], masters: Iterable[Tensor], shares: list[float]
    ) -> SplitAdamW:
        from dbtui.engine.split_adamw import SplitAdamW

        self._graphs: dict[str, torch.cuda.CUDAGraph] = {}
        self._sum = GradientSum(parameters, self._ranks) if self._ranks.count > 1 else None
        return SplitAdamW(parameters, masters, shares, self._training.weight_decay, self._training.max_grad_norm)

    def warm_up(self, batches: list[Batch], tell: Tell) -> None:
        """Capture the step for batches of this shape. Changes no weight; seconds, the first time more."""
        device, batch = self.accelerator.device, batches[0]
        self._micro_steps = len(batches)
        self._inputs = batch.to(device)
        self._each = torch.zeros(len(batches), len(batch.names), device=device)
        self._sums = torch.zeros(NUMBERS - 1, device=device)
        self._row = torch.zeros(1, dtype=torch.long, device=device)
        self._numbers = torch.zeros(NUMBERS + self._each.numel(), device=device)
        self._graphs = {}
        if self._sum is not None:
            self._ranks.add_up([self._sums]).wait()  # the processes' GPUs meet, which no capture can do
        tried = partial(self._try_gradients, batch.instances)
        parts: list[Callable[[], None]] = [
            tried,  # makes plans and compiles
            tried,  # shows that it is settled
            *self._captures(batch.instances),
            self._try_update,
            partial(self._capture, "update", self._update),
        ]
        for done, part in enumerate(parts):
            tell(done, len(parts))
            part()

    def _captures(self, instances: int) -> Iterator[Callable[[], None]]:
        """What captures each of the graphs that give the gradients of a step."""
        for micro, name in enumerate(names := self._names()):
            if name not in names[:micro]:
                work = self._gradients if micro else self._first_gradients
                yield partial(self._capture, name, partial(work, instances, self._adds_up(micro)))

    def _names(self) -> list[str]:
        """The graph of each of a step's batches."""
        return [
            "last" if micro and self._adds_up(micro) else "more" if micro else "first"
            for micro in range(self._micro_steps)
        ]

    def _adds_up(self, micro: int) -> bool:
        """Whether the gradients of all processes are added up after this batch, as they are after a step's last."""
        return self._sum is not None and micro == self._micro_steps - 1

    def _try_gradients(self, instances: int) -> None:
        with side_stream():
            self._first_gradients(instances)
            self._let_go()  # nothing but a capture's own memory can be had in it

    def _try_update(self) -> None:
        """Compiles without a trace: a gradient that is not finite changes nothing."""
        self.optimizer.bind()
        with side_stream():
            self.optimizer.parameters[0].grad.fill_(torch.nan)
            self.optimizer.step()
            self.optimizer.pardon()

    def _capture(self, name: str, work: Callable[[], None]) -> None:
        """All graphs share the memory of the first."""
        pool = self._graphs["first"].pool() if self._graphs else None
        self._graphs[name] = captured(work, pool)

    def rehearse(self, batches: list[Batch]) -> None:
        for name in self._names():
            self._graphs[name].replay()

    def _first_gradients(self, instances: int, add_up: bool = False) -> None:
        """As ``_gradients``, from nothing: gradients that are written cost less than zeros that are added to."""
        self._let_go()
        self._sums.zero_()
        self._row.zero_()
        self._gradients(instances, add_up)

    def _let_go(self) -> None:
        for parameter in self.optimizer.parameters:
            parameter.grad = None

    def _gradients(self, instances: int, add_up: bool = False) -> None:
        """Losses and gradients of what is in the inputs, added to what is there, and then, if asked, over all processes."""
        parts = self._micro_steps * self._ranks.count
        losses = self._losses_of(*self._inputs, instances)
        with self._sum.of_backward() if add_up and self._sum else contextlib.nullcontext():
            (losses.total / parts).backward()
        prior = losses.instance if losses.prior is None else losses.prior
        self._sums += torch.stack([losses.total.detach(), losses.instance, prior]) / parts
        self._each.index_copy_(0, self._row, losses.each[None])
        self._row += 1

    def _update(self) -> None:
        if self._sum is not None:
            self._ranks.add_up([self._sums]).wait()
        self.optimizer.step()
        self._numbers.copy_(torch.cat([self._sums, self.optimizer.norm[None], self._each.flatten()]))

    def step(self, step: int, batches: list[Batch]) -> Replayed:
        """As ``Learner.step``, but returns while the GPU still works on it."""
        rate = self.rate(step)
        self.optimizer.set_rate(rate)
        for name, batch in zip(self._names(), batches, strict=True):
            for static, given in zip(self._inputs, batch.pinned(), strict=True):
                static.copy_(given, non_blocking=True)
            self._graphs[name].replay()
        self._graphs["update"].replay()
        numbers, arrived = _send_home(self._numbers)
        return Replayed(
            self,
            rate,
            batches[0].instances < len(batches[0].names),
            [name for batch in batches for name in batch.names],
            numbers,
            arrived,
        )


def _send_home(numbers: Tensor) -> tuple[Tensor, torch.cuda.Event]:
    """A copy on its way to the CPU, and what tells of its arrival."""
    copy = torch.empty(numbers.shape, pin_memory=True)
    copy.copy_(numbers, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()
    return copy, arrived
