"""Checkpoints and concepts: the learner's state on disk, and back."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from dbtui.core import checkpoints, paths
from dbtui.core.checkpoints import STATE, Checkpoint
from dbtui.core.errors import DbtuiError
from dbtui.core.library import Concept, exists
from dbtui.core.names import free_name
from dbtui.core.run import Run
from dbtui.engine.learner import Learner
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
    """Put the learner where it was. The file is read without unpickling anything but tensors."""
    learner.load_weights({name: checkpoint.weights(name) for name in learner.trained})
    state = torch.load(checkpoint.path / STATE, map_location="cpu", weights_only=True)
    try:
        learner.load_state(state)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise DbtuiError(
            "The checkpoint does not fit the run",
            f"{checkpoint.path}: {error}. It was left as it is.",
            "It was written with other parameters or another version; start a new run.",
        ) from error


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
