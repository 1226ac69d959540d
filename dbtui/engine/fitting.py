"""The learner in the fastest way that fits the device, tried before the first step; what it needs is said."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator

from dbtui.core.architecture import Architecture
from dbtui.core.base_model import BaseModel
from dbtui.core.budget import concept_bytes, estimate, grid_operations, step_operations
from dbtui.core.config import Config
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.events import Estimate
from dbtui.core.fit import needed, next_smaller, too_big
from dbtui.core.journal import JournalReader
from dbtui.core.paths import data_dir
from dbtui.core.rates import Rates, cpu_name, has_trained, observe, recall, remember
from dbtui.core.run import Run
from dbtui.core.units import format_bytes, spell_duration
from dbtui.core.weights import free_space
from dbtui.engine import machine
from dbtui.engine.examples import Examples
from dbtui.engine.failures import out_of_memory
from dbtui.engine.learner import Learner
from dbtui.engine.models import Models, load_models
from dbtui.engine.narrator import Narrator
from dbtui.engine.probe import Probe, free_memory, probe
from dbtui.engine.ranks import Ranks

USUAL_DISK = 500e6
"""Bytes that a disk takes in a second, until it has been seen."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """What learners for one run are made of. ``config`` has a resolution in pixels and the processes that there are."""

    config: Config
    base: BaseModel
    architecture: Architecture
    accelerator: Accelerator
    examples: Examples
    ranks: Ranks
    narrator: Narrator

    def learner(self, models: Models, plan: machine.Plan) -> Learner:
        """One of ``plan`` on ``models`` or, where that does not fit and auto leaves another, of a smaller plan.

        Raises DbtuiError with what to change if nothing fits.
        """
        while True:
            tried = self._try(models, plan)
            taken = tried[1] if tried else None
            if not self.ranks.any(taken is None or not taken.fits) and tried:
                self._say(tried[1], plan.applied_to(self.config))
                return tried[0]
            smaller = self._smaller(plan)
            if smaller is None:
                raise self._too_big(plan, taken)
            self.narrator.log(f"It does not fit: {plan.words()}. Trying {smaller.words()}.", "warning")
            del tried
            models, plan = self._anew(models), smaller

    def _try(self, models: Models, plan: machine.Plan) -> tuple[Learner, Probe] | None:
        """The learner and what it takes; None if the memory ran out."""
        try:
            made = self._make(models, plan)
            batches = list(self.examples.of_step(0))
            return made, probe(made, batches, plan.applied_to(self.config), self.architecture)
        except Exception as error:
            if not out_of_memory(error):
                raise
            if self.ranks.count > 1:  # the others wait for this one's gradients; its end sets them free
                raise
            return None

    def _make(self, models: Models, plan: machine.Plan) -> Learner:
        """A learner that is ready for its first step."""
        if plan.graph or plan.lean:
            made, why = None, "another process cannot do it"
            try:
                made = self._of_class(_split_learner(plan), models, plan)
            except Exception as error:  # whatever a driver or a compiler of kernels raises, the plain way works
                if out_of_memory(error):
                    raise
                _refuse_broken_device(error)
                why = printable(error)
            if not self.ranks.any(made is None) and made is not None:
                return made
            del made
            what = "be a CUDA graph" if plan.graph else "have its gradients in the machine's memory"
            self.narrator.log(f"The step cannot {what} here ({why}); it is computed in the plain way.", "warning")
            plan.graph = plan.lean = False
            models = self._anew(models)
        return self._of_class(Learner, models, plan)

    def _of_class(self, kind: type[Learner], models: Models, plan: machine.Plan) -> Learner:
        config = self.config
        prompts = [config.concept.prompt] + ([config.prior.class_prompt] if config.prior.enabled else [])
        made = kind(models, config.training, config.prior.weight, prompts, plan, self.accelerator, self.ranks)
        made.warm_up(
            list(self.examples.of_step(0)),
            lambda done, total: self.narrator.phase("warming up the GPU", done, total, "parts"),
        )
        return made

    def _anew(self, models: Models) -> Models:
        """The model as the disk has it, in the place of one that a learner has changed."""
        models.to("cpu")
        self.accelerator.free_memory()
        torch.cuda.empty_cache()
        return load_models(self.base, device=self.accelerator.device)

    def _smaller(self, plan: machine.Plan) -> machine.Plan | None:
        """The next that auto leaves and that needs less than ``plan``."""
        tried = plan.applied_to(self.config)
        limit = needed(tried, self.architecture, plan.device)
        while (config := next_smaller(self.config, tried, self.architecture, plan.device)) is not None:
            found = machine.make_plan(config, self.architecture, plan.device, free_memory(plan.device))
            if needed(found.applied_to(self.config), self.architecture, plan.device) < limit:
                return found
            tried = config
        return None

    def _too_big(self, plan: machine.Plan, taken: Probe | None) -> DbtuiError:
        config, free = plan.applied_to(self.config), taken.free if taken else free_memory(plan.device)
        counted = needed(config, self.architecture, plan.device)
        # Where the memory ran out nobody knows how much more it would have been.
        needs = max(taken.memory if taken else 0, counted if taken else max(counted, free + 1))
        where = machine.device_words(plan.device)
        error = too_big(config, self.architecture, plan.device, free, where, self.base.multiple, needs)
        return DbtuiError(error.title, f"{error.message} No step was taken.", error.hint)

    def _say(self, taken: Probe, config: Config) -> None:
        """Tell the journal what the run will need."""
        device = self.accelerator.device.type
        name = device_name(device)
        rates = recall(name, config)
        if taken.seconds and not has_trained(name, config):
            rates = replace(rates, training=step_operations(config, self.architecture) / taken.seconds)
        budget = estimate(config, self.architecture, device, rates)
        seconds, disk_free = self._seconds_left(config, rates), free_space(data_dir())
        self.narrator.say(
            Estimate(
                device=name,
                memory=taken.memory,
                memory_free=taken.free,
                disk=budget.disk_needed,
                disk_free=disk_free,
                seconds=seconds,
                source="measured" if device == "cuda" else "counted",
            )
        )
        time = "" if seconds is None else f", {spell_duration(seconds)}"
        self.narrator.log(
            f"It needs about {format_bytes(taken.memory)} of {format_bytes(taken.free)} of memory{time}, "
            f"and {format_bytes(budget.disk_needed)} of {format_bytes(disk_free)} on the disk."
        )

    def _seconds_left(self, config: Config, rates: Rates) -> float | None:
        """Until the run is done, if the speed of its steps is known; the rest is taken to be as usual."""
        rates = replace(rates, drawing=rates.drawing or rates.training, writing=rates.writing or USUAL_DISK)
        seconds = estimate(config, self.architecture, self.accelerator.device.type, rates).seconds
        parts = [seconds[phase] for phase in ("training", "sampling", "checkpoints", "saving")]
        left = 1 - self.narrator.step / config.training.steps
        return left * sum(part or 0.0 for part in parts) if rates.training else None


def remember_speed(run: Run, learner: Learner, resolution: int) -> None:
    """Keep how fast the run that is done was, as its journal shows it, for the estimates of later runs."""
    config = learner.plan.applied_to(run.config).replace({"data.resolution": resolution})
    architecture = Architecture.of(learner.models.base)
    rates = observe(
        JournalReader(run.journal).read(),
        time.time(),
        step_operations(config, architecture),
        grid_operations(config, architecture),
        concept_bytes(config, architecture),
    )
    remember(device_name(learner.plan.device), config, rates)


def device_name(device: str) -> str:
    """As rates are remembered by."""
    return torch.cuda.get_device_name() if device == "cuda" else cpu_name()


def _split_learner(plan: machine.Plan) -> type[Learner]:
    """The one of ``plan`` on bf16 weights. Raises ImportError where its libraries are missing."""
    if plan.graph:
        from dbtui.engine.graph_learner import GraphLearner

        return GraphLearner
    from dbtui.engine.lean_learner import LeanLearner

    return LeanLearner


def _refuse_broken_device(error: Exception) -> None:
    """Raise DbtuiError if the GPU answers nothing more in this process."""
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        raise DbtuiError(
            "The GPU failed while the fast step was tried",
            f"{printable(error)}. Nothing was trained yet.",
            "Try the plain way: --set training.graph=false.",
        ) from error
