"""What learns: the trained modules, their optimizer and average, and one optimizer step of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

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


class Learner:
    """Holds everything that changes from step to step; a checkpoint is its state and nothing else."""

    def __init__(
        self, models: Models, training: TrainingConfig, prior_weight: float, prompts: list[str], plan: Plan,
        accelerator: Accelerator,
    ) -> None:  # fmt: skip
        self.models = models
        self.accelerator = accelerator
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
        self._unet = accelerator.prepare_model(models.unet)
        self.optimizer = accelerator.prepare_optimizer(self._make_optimizer(plan))
        self.average = self._make_average() if training.ema else None
        self._token_ids = models.token_ids(prompts).to(accelerator.device)
        self._hidden = None if training.text_encoder else models.embed(prompts)
        self._overflows = 0

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The weights that learn."""
        return [p for module in self.trained.values() for p in module.parameters() if p.requires_grad]

    def step(self, step: int, batches: list[Batch]) -> Outcome:
        """One optimizer step on the mean gradient of ``batches``.

        Raises NotFiniteError, with the weights as they were, if the loss or gradient is not finite.
        """
        rate = self._set_rate(step)
        parts = []
        for micro, batch in enumerate(batches):
            torch.manual_seed(draws.mix(self._training.seed, "dropout", step, micro))
            losses = self._losses(batch)
            self.accelerator.backward(losses.total / len(batches))
            parts.append(losses)
        norm = self._gradient_norm()
        outcome = self._outcome(parts, float(norm), rate)
        self._refuse_not_finite(outcome, parts, batches)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.step(self.parameters)
        return outcome

    def _losses(self, batch: Batch) -> Losses:
        latents, noise, timesteps, prompts = batch.to(self.accelerator.device)
        noisy = add_noise(latents, noise, timesteps, self._alphas)
        with self.accelerator.autocast():
            hidden = self._hidden if self._hidden is not None else self.models.text_encoder(self._token_ids)[0]
            prediction = self._unet(noisy, timesteps, hidden[prompts], return_dict=False)[0]
        wanted = target(self._prediction, latents, noise, timesteps, self._alphas)
        weights = min_snr_weights(self._prediction, timesteps, self._alphas, self._training.min_snr_gamma)
        return dreambooth_loss(prediction, wanted, weights, batch.instances, self._prior_weight)

    def _gradient_norm(self) -> Tensor:
        """The length of the whole gradient, which is cut to the maximum in place."""
        self.accelerator.unscale_gradients(self.optimizer)
        limit = self._training.max_grad_norm or math.inf
        return torch.nn.utils.clip_grad_norm_(self.parameters, limit)

    def _outcome(self, parts: list[Losses], norm: float, rate: float) -> Outcome:
        def mean(values: list[Tensor]) -> float:
            return float(torch.stack(values).mean())

        priors = [p.prior for p in parts if p.prior is not None]
        return Outcome(
            loss=mean([p.total.detach() for p in parts]),
            instance_loss=mean([p.instance for p in parts]),
            prior_loss=mean(priors) if priors else None,
            grad_norm=norm,
            learning_rate=rate,
        )

    def _refuse_not_finite(self, outcome: Outcome, parts: list[Losses], batches: list[Batch]) -> None:
        bad_loss, bad_norm = not math.isfinite(outcome.loss), not math.isfinite(outcome.grad_norm)
        if bad_norm and not bad_loss and self.accelerator.scaler is not None:
            # fp16 overflows while its scale is too high: the scaler skips the step and lowers it.
            self._overflows += 1
            bad_norm = self._overflows > MOST_OVERFLOWS
        else:
            self._overflows = 0
        if not bad_loss and not bad_norm:
            return
        self.optimizer.zero_grad(set_to_none=True)
        finite = [flag for part in parts for flag in part.each.isfinite().tolist()]
        names = [name for batch in batches for name in batch.names]
        blamed = [name for name, good in zip(names, finite, strict=True) if not good] or names
        what, value = ("loss", outcome.loss) if bad_loss else ("gradient", outcome.grad_norm)
        raise NotFiniteError(what, value, sorted(set(blamed)))

    def _make_optimizer(self, plan: Plan) -> torch.optim.Optimizer:
        groups = [
            {
                "params": [p for p in module.parameters() if p.requires_grad],
                "share": self._training.text_encoder_rate if name == "text_encoder" else 1.0,
            }
            for name, module in self.trained.items()
        ]
        rate, decay = self._training.learning_rate, self._training.weight_decay
        if plan.optimizer == "adamw8bit":
            import bitsandbytes

            return bitsandbytes.optim.AdamW8bit(groups, lr=rate, weight_decay=decay)
        return torch.optim.AdamW(groups, lr=rate, weight_decay=decay, fused=plan.device in ("cpu", "cuda"))

    def _set_rate(self, step: int) -> float:
        training = self._training
        rate = learning_rate(step, training.steps, training.learning_rate, training.schedule, training.warmup_steps)
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
        """Put back what ``state`` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
            self.average.to(self.accelerator.device)
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self._overflows = state["overflows"]

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """The weights of each trained module as files have them, on the CPU."""
        return {name: weights_of(module, name) for name, module in self.trained.items()}

    def final_weights(self) -> dict[str, dict[str, Tensor]]:
        """As ``weights``, but the average where one is kept: what the concept is made of."""
        if self.average is None:
            return self.weights()
        self.average.store(self.parameters)
        self.average.copy_to(self.parameters)
        try:
            return {name: {k: v.clone() for k, v in weights.items()} for name, weights in self.weights().items()}
        finally:
            self.average.restore(self.parameters)

    def load_weights(self, files: dict[str, Any]) -> None:
        """Read each trained module's weights from a file."""
        for name, module in self.trained.items():
            load_weights(module, name, files[name])
