"""Checkpoints and concepts: the learner's state on disk, and back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from dbtui.core import checkpoints, paths
from dbtui.core.checkpoints import STATE, Checkpoint
from dbtui.core.config import Config
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.fields import AUTO, Value
from dbtui.core.library import Concept, exists
from dbtui.core.names import free_name
from dbtui.core.run import Run
from dbtui.engine.learner import Learner
from dbtui.engine.optimizer_state import EIGHT_BIT, OPTIMIZERS, FormError, form_of
from dbtui.engine.snapshot import Snapshot
from dbtui.engine.tensor_writers import write_state, write_weights


def write_checkpoint(taken: Snapshot, run: Run, step: int, keep: int) -> Checkpoint:
    """Write the state after ``step`` steps, whole or not at all, then let old ones go. Raises OSError."""
    hashes: dict[str, str] = {}
    with checkpoints.writing(run.checkpoints, step, hashes) as folder:
        for component, weights in taken.weights.items():
            file = folder / f"{component}.safetensors"
            hashes[file.name] = write_weights(file, weights)
        hashes[STATE] = write_state(folder / STATE, taken.state)
    checkpoints.prune(run.checkpoints, keep)
    return Checkpoint(run.checkpoints / f"step-{step:06}")


def load_checkpoint(learner: Learner, checkpoint: Checkpoint) -> None:
    """Put the learner where it was. The file is read without unpickling anything but tensors.

    Raises DbtuiError if it has the state of another run, or one that cannot be carried over to this machine.
    """
    learner.load_weights({name: checkpoint.weights(name) for name in learner.trained})
    try:
        learner.load_state(_read_state(checkpoint))
    except FormError as error:
        raise DbtuiError(
            f"The checkpoint of step {checkpoint.step} cannot be gone on with here",
            f"{printable(checkpoint.path)}: {error}. It was left as it is.",
            "Resume the run where it was trained, or on a machine of that kind; or start a new one.",
        ) from error
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise DbtuiError(
            "The checkpoint does not fit the run",
            f"{printable(checkpoint.path)}: {printable(error)}. It was left as it is.",
            "It was written with other parameters or another version; start a new run.",
        ) from error


def as_begun(config: Config, checkpoint: Checkpoint | None) -> tuple[Config, str]:
    """``config`` with the optimizer that ``checkpoint`` has, and a sentence if that is not what was asked for.

    What auto would choose on this machine may be another, and its state cannot become the other's.
    """
    form = form_of(_read_state(checkpoint, mmap=True)["optimizer"]) if checkpoint else ""
    if not form:
        return config, ""
    optimizer, asked = OPTIMIZERS[form], config.training.optimizer
    changes: dict[str, Value] = {"training.optimizer": optimizer}
    if form == EIGHT_BIT and config.training.graph is True:
        changes["training.graph"] = False  # its blocks are not those of bf16 weights
    other = "" if optimizer == asked or asked == AUTO else f"The run goes on with {form}, as it was begun."
    return config.replace(changes), other


def _read_state(checkpoint: Checkpoint, mmap: bool = False) -> dict[str, Any]:
    """``mmap``: its tensors lie in the file until they are looked at."""
    return torch.load(checkpoint.path / STATE, map_location="cpu", weights_only=True, mmap=mmap)


def publish_concept(learner: Learner, run: Run, resolution: int) -> Concept:
    """Put what was learned into the library, under the run's name or the next that is free.

    Raises OSError if it cannot be written; then nothing of it is left.
    """
    config = run.config
    while True:
        name = free_name(config.concept.name, exists)
        try:
            with paths.whole_folder(paths.concepts_dir() / name) as folder:
                concept = _write_concept(learner, run, resolution, name, folder)
        except FileExistsError:
            continue
        return concept


def _write_concept(learner: Learner, run: Run, resolution: int, name: str, folder: Path) -> Concept:
    config, base = run.config, learner.models.base
    trained = {}
    for component, weights in learner.final_weights().items():
        (folder / component).mkdir(mode=0o700)
        trained[component] = write_weights(folder / component / "weights.safetensors", weights)
    preview = folder / "preview"
    preview.mkdir(mode=0o700)
    grids = sorted(run.samples.glob("step-*.png"))
    if grids:
        (preview / grids[-1].name).write_bytes(grids[-1].read_bytes())
    concept = Concept(
        name=name,
        prompt=config.concept.prompt,
        class_prompt=config.prior.class_prompt if config.prior.enabled else "",
        base=config.model.base,
        base_fingerprint=base.fingerprint(),
        family=base.family,
        prediction=base.prediction,
        resolution=resolution,
        steps=config.training.steps,
        learning_rate=config.training.learning_rate,
        seed=config.training.seed,
        run=run.id,
        created=time.time(),
        trained=trained,
    )
    (folder / "concept.toml").write_text(concept.to_toml(), encoding="utf-8")
    return concept
