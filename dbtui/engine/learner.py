"""What learns: the trained modules, their optimizer and average, and one optimizer step of them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from dbtui.core.config import TrainingConfig
from dbtui.engine import draws
from dbtui.engine.examples import Batch
from dbtui.engine.machine import Plan
from dbtui.engine.models import Models, load_weights, weights_of
from dbtui.engine.objective import Losses, add_noise, dreambooth_loss, learning_rate, min_snr_weights, target
from dbtui.engine.optimizer_state import EIGHT_BIT, FormError, as_plain, form_of
from dbtui.engine.ranks import ALONE, Ranks

Tell = Callable[[int, int], object]
"""Called with (parts done, all parts)."""

MOST_OVERFLOWS = 25
"""Steps in a row that fp16 may skip to find its scale, before it counts as a failure."""


class NotFiniteError(Exception):
    """The loss or its gradient is not a number; the optimizer step was not taken."""

    def __init__(self, what: str, value: float, names: list[str]) -> None:
        super().__init__(f"the {what} is {value}")
        self.what, self.value, self.names = what, value, names


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one optimizer step gave."""

    loss: float
    instance_loss: float
    prior_loss: float | None
    grad_norm: float
    learning_rate: float


class Taken(Protocol):
    """A step that was taken, or is being taken by a device that this program does not wait for."""

    def over(self) -> bool:
        """Whether its outcome is here."""

    def outcome(self) -> Outcome:
        """What it gave, waiting for it. Raises NotFiniteError if it was not taken after all."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step that is over."""

    given: Outcome

    def over(self) -> bool:
        return True

    def outcome(self) -> Outcome:
        return self.given


class Learner:
    """Holds everything that changes from step to step; a checkpoint is its state and nothing else."""

    settled = False
    """Whether it has all of its optimizer's state before the first step."""

    def __init__(
        self, models: Models, training: TrainingConfig, prior_weight: float, prompts: list[str], plan: Plan,
        accelerator: Accelerator, ranks: Ranks = ALONE,
    ) -> None:  # fmt: skip
        self.models = models
        self.plan = plan
        self.accelerator = accelerator
        self._ranks = ranks
        self._training = training
        self._prior_weight = prior_weight
        self._prediction = models.base.prediction
        self._alphas = models.alphas.to(accelerator.device)
        self.trained: dict[str, nn.Module] = {"unet": models.unet}
        models.text_encoder.requires_grad_(training.text_encoder)
        if training.text_encoder:
            self.trained["text_encoder"] = models.text_encoder
        if plan.gradient_checkpointing:
            models.unet.enable_gradient_checkpointing()
            if training.text_encoder:
                models.text_encoder.gradient_checkpointing_enable()
        for name, parameter in models.unet.named_parameters():
            parameter.requires_grad_(training.layers == "all" or "attentions." in name)
        for module in self.trained.values():
            module.train()
        self._place(plan)
        self.average = self._make_average() if training.ema else None
        self._token_ids = models.token_ids(prompts).to(accelerator.device)
        self._hidden = None if training.text_encoder else models.embed(prompts)
        self._overflows = 0

    def _place(self, plan: Plan) -> None:
        """Put the trained modules and their optimizer where they work."""
        # With several processes these average the gradients; ``trained`` are the modules inside.
        self._forward = {name: self.accelerator.prepare_model(module) for name, module in self.trained.items()}
        self.optimizer = self.accelerator.prepare_optimizer(self._make_optimizer(plan))

    def warm_up(self, batches: list[Batch], tell: Tell) -> None:
        """Make ready for steps on batches of this shape. Changes no weight."""

    def rehearse(self, batches: list[Batch]) -> None:
        """The forward and backward passes of a step and nothing more: no weight changes, no gradient stays.

        Each process by itself: where the memory of one runs out, none must wait for it.
        """
        with self._by_itself():
            for batch in batches:
                self.accelerator.backward(self._losses(batch).total / len(batches))
        self.optimizer.zero_grad(set_to_none=True)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The weights that learn."""
        return [p for module in self.trained.values() for p in module.parameters() if p.requires_grad]

    def step(self, step: int, batches: list[Batch]) -> Taken:
        """One optimizer step on the mean gradient of ``batches`` and those of the other processes.

        Raises NotFiniteError in every process, with the weights as they were, if the loss or gradient is
        not finite in any; where the step is still on its way, what it gives does.
        """
        rate = self._set_rate(step)
        parts = []
        for batch in batches:
            torch.manual_seed(draws.mix(self._training.seed, "dropout", batch.position))
            with contextlib.nullcontext() if batch is batches[-1] else self._by_itself():
                losses = self._losses(batch)
                self.accelerator.backward(losses.total / len(batches))
            parts.append(losses)
        norm = self._gradient_norm()
        outcome = self._outcome(parts, float(norm), rate)
        each = [value for part in parts for value in part.each.tolist()]
        self.refuse_not_finite(outcome, each, [name for batch in batches for name in batch.names])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.step(self.parameters)
        return Done(outcome)

    @contextlib.contextmanager
    def _by_itself(self) -> Iterator[None]:
        """Gradients that are computed in the block are added up here; processes average them after it."""
        with contextlib.ExitStack() as modules:
            for module in self._forward.values():
                modules.enter_context(self.accelerator.no_sync(module))
            yield

    def _losses(self, batch: Batch) -> Losses:
        return self._losses_of(*batch.to(self.accelerator.device), batch.instances)

    def _arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        """The precision that the modules compute in."""
        return self.accelerator.autocast()

    def _losses_of(self, latents: Tensor, noise: Tensor, timesteps: Tensor, prompts: Tensor, instances: int) -> Losses:
        noisy = add_noise(latents, noise, timesteps, self._alphas).to(self.models.unet.dtype)
        with self._arithmetic():
            hidden = self._hidden if self._hidden is not None else self._forward["text_encoder"](self._token_ids)[0]
            prediction = self._forward["unet"](noisy, timesteps, hidden[prompts].to(noisy.dtype), return_dict=False)[0]
        wanted = target(self._prediction, latents, noise, timesteps, self._alphas)
        weights = min_snr_weights(self._prediction, timesteps, self._alphas, self._training.min_snr_gamma)
        return dreambooth_loss(prediction, wanted, weights, instances, self._prior_weight)

    def _gradient_norm(self) -> Tensor:
        """The length of the whole gradient, which is cut to the maximum in place."""
        self.accelerator.unscale_gradients(self.optimizer)
        limit = self._training.max_grad_norm or math.inf
        return torch.nn.utils.clip_grad_norm_(self.parameters, limit)

    def _outcome(self, parts: list[Losses], norm: float, rate: float) -> Outcome:
        def mean(values: list[Tensor]) -> float:
            return float(torch.stack(values).mean())

        priors = [p.prior for p in parts if p.prior is not None]
        # The norm too, though it is that of the mean gradient already: on what follows from it all must agree.
        here = [mean([p.total.detach() for p in parts]), mean([p.instance for p in parts]), norm]
        loss, instance_loss, norm, *prior_loss = self._ranks.mean(here + ([mean(priors)] if priors else []))
        return Outcome(
            loss=loss,
            instance_loss=instance_loss,
            prior_loss=prior_loss[0] if priors else None,
            grad_norm=norm,
            learning_rate=rate,
        )

    def refuse_not_finite(self, outcome: Outcome, each: list[float], names: list[str]) -> None:
        """Raise NotFiniteError for a step whose loss or gradient is none; ``each`` is the loss of each example."""
        bad_loss, bad_norm = not math.isfinite(outcome.loss), not math.isfinite(outcome.grad_norm)
        if bad_norm and not bad_loss and self.accelerator.scaler is not None:
            # fp16 overflows while its scale is too high: the scaler skips the step and lowers it.
            self._overflows += 1
            bad_norm = self._overflows > MOST_OVERFLOWS
        else:
            self._overflows = 0
        if not bad_loss and not bad_norm:
            return
        blamed = [name for name, value in zip(names, each, strict=True) if not math.isfinite(value)]
        everywhere = self._ranks.gather({"blamed": blamed, "names": names})
        blamed = [name for said in everywhere for name in said["blamed"]] or [
            name for said in everywhere for name in said["names"]
        ]
        what, value = ("loss", outcome.loss) if bad_loss else ("gradient", outcome.grad_norm)
        raise NotFiniteError(what, value, sorted(set(blamed)))

    def _make_optimizer(self, plan: Plan) -> torch.optim.Optimizer:
        groups = [
            {
                "params": [p for p in module.parameters() if p.requires_grad],
                "share": self.share(name),
            }
            for name, module in self.trained.items()
        ]
        rate, decay = self._training.learning_rate, self._training.weight_decay
        if plan.optimizer == "adamw8bit":
            import bitsandbytes

            return bitsandbytes.optim.AdamW8bit(groups, lr=rate, weight_decay=decay)
        return torch.optim.AdamW(groups, lr=rate, weight_decay=decay, fused=plan.device in ("cpu", "cuda"))

    def share(self, component: str) -> float:
        """The component's learning rate as a multiple of the run's."""
        return self._training.text_encoder_rate if component == "text_encoder" else 1.0

    def rate(self, step: int) -> float:
        """The learning rate of ``step`` (from 0)."""
        training = self._training
        return learning_rate(step, training.steps, training.learning_rate, training.schedule, training.warmup_steps)

    def _set_rate(self, step: int) -> float:
        rate = self.rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        return rate

    def _make_average(self) -> EMAModel:
        average = EMAModel(self.parameters, decay=self._training.ema_decay)
        average.to(self.accelerator.device)
        return average

    def state(self) -> dict[str, Any]:
        """What a resume needs beside the weights; tensors and plain values only."""
        scaler = self.accelerator.scaler
        return {
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "scaler": scaler.state_dict() if scaler else None,
            "overflows": self._overflows,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Put back what ``state`` gave, or that of another learner. Raises FormError if it cannot be carried over.

        Rates and switches stay this learner's own. A scaler that finds its scale anew costs some steps of fp16.
        """
        kept, here = state["optimizer"], self.optimizer.state_dict()
        if self.plan.optimizer == "adamw":
            self.optimizer.load_state_dict({**here, "state": as_plain(kept, self.parameters)})
        elif (form := form_of(kept)) not in ("", EIGHT_BIT):
            raise FormError(form, EIGHT_BIT)
        else:
            self.optimizer.load_state_dict(kept)
        if self.average is not None:
            self.average.load_state_dict(state["average"])
            self.average.to(self.accelerator.device)
        if self.accelerator.scaler is not None and state.get("scaler"):
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self._overflows = state.get("overflows", 0)

    def weights(self, keep: Callable[[Tensor], Tensor] = Tensor.cpu) -> dict[str, dict[str, Tensor]]:
        """The weights of each trained module as files have them, fp32, each as ``keep`` gives it."""
        return {name: weights_of(module, name, keep) for name, module in self.trained.items()}

    def final_weights(self) -> Mapping[str, Mapping[str, Tensor]]:
        """As ``weights``, but the average where one is kept, and where they are: what the concept is made of."""
        if self.average is None:
            return self.weights(lambda weight: weight)
        self.average.store(self.parameters)
        self.average.copy_to(self.parameters)
        try:
            return self.weights(Tensor.clone)
        finally:
            self.average.restore(self.parameters)

    def load_weights(self, files: dict[str, Any]) -> None:
        """Read each trained module's weights from a file."""
        for name, module in self.trained.items():
            load_weights(module, name, files[name])
