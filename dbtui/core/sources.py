"""What can draw: base models as they are, concepts, and checkpoints on the way to one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dbtui.core import paths
from dbtui.core.checkpoints import MANIFEST, Checkpoint, checkpoints
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.fields import AUTO
from dbtui.core.library import Concept, concepts, find_sound_concept
from dbtui.core.run import Run
from dbtui.core.units import plural


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A base model by its name, with the trained weights that go into it, if any.

    ``base_fingerprint`` is that of the model they were trained on, or empty where nothing tells;
    ``resolution`` 0 is the base model's own.
    """

    name: str
    """As pictures call it: ``rex``, ``rex step 100``, ``mini``."""
    label: str
    """Among others of the same concept: ``taught, 200 steps``, ``step 100``, ``mini, untaught``."""
    base: str
    prediction: str = AUTO
    base_fingerprint: str = ""
    resolution: int = 0
    graph: bool = True
    """Whether it may be drawn by a CUDA graph, as its training was; of a concept ``find_source`` tells."""
    concept: str = ""
    checkpoint: str = ""
    """The folder of a checkpoint."""
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Files by component."""
    digests: Mapping[str, str] = field(default_factory=dict)


def find_source(concept: str, checkpoint: str, base: str) -> Source:
    """The source that one of the three names. Raises DbtuiError unless there is one that can be used."""
    if checkpoint:
        return of_checkpoint(Checkpoint(Path(checkpoint)))
    if not concept:
        return of_base(base)
    found = find_sound_concept(concept)
    return replace(of_concept(found), graph=_draws_by_graph(found))


def of_base(base: str, resolution: int = 0) -> Source:
    """The base model as it is. Nobody has looked whether it is there."""
    short = base.rstrip("/").rsplit("/", 1)[-1]
    return Source(name=short, label=f"{short}, untaught", base=base, resolution=resolution)


def of_concept(concept: Concept) -> Source:
    return Source(
        name=concept.name,
        label=f"taught, {plural(concept.steps, 'step')}",
        base=concept.base,
        prediction=concept.prediction,
        base_fingerprint=concept.base_fingerprint,
        resolution=concept.resolution,
        concept=concept.name,
        weights={component: concept.weights(component) for component in concept.trained},
        digests=concept.trained,
    )


def of_checkpoint(checkpoint: Checkpoint) -> Source:
    """A checkpoint of a run, whose weights are there. Raises DbtuiError if it is gone or damaged."""
    run = Run(checkpoint.path.parent.parent)
    problem = checkpoint.problem(deep=False)
    if problem:
        raise DbtuiError(
            f"The checkpoint of step {checkpoint.step} cannot be used",
            f"{printable(checkpoint.path)}: {printable(problem)}. It was left as it is.",
            "A training keeps its newest checkpoints only. Choose another.",
        )
    files = json.loads((checkpoint.path / MANIFEST).read_text(encoding="utf-8"))["files"]
    digests = {Path(name).stem: entry["sha256"] for name, entry in files.items() if name.endswith(".safetensors")}
    config = run.config
    taught = next((concept for concept in concepts() if concept.run == run.id and not concept.problem), None)
    return Source(
        name=f"{taught.name if taught else config.concept.name} step {checkpoint.step}",
        label=f"step {checkpoint.step:,}",
        base=config.model.base,
        prediction=config.model.prediction,
        base_fingerprint=taught.base_fingerprint if taught else "",
        resolution=_resolution(run),
        graph=config.sampling.graph,
        checkpoint=str(checkpoint.path),
        weights={component: checkpoint.weights(component) for component in digests},
        digests=digests,
    )


def of_run(run: Run) -> list[Source]:
    """The checkpoints of a run whose weights are still there, the oldest first. Never raises."""
    found = []
    for checkpoint in reversed(checkpoints(run.checkpoints)):
        try:
            found.append(of_checkpoint(checkpoint))
        except (DbtuiError, OSError):  # it has gone since, or is of no use
            continue
    return found


def _draws_by_graph(concept: Concept) -> bool:
    run = run_of(concept)
    try:
        return run is None or run.config.sampling.graph
    except (UsageError, OSError):
        return True


def _resolution(run: Run) -> int:
    resolution = run.config.data.resolution
    return 0 if resolution == AUTO else int(resolution)


def sources_of(subject: Concept | Run) -> list[Source]:
    """All that shows how far the teaching of a concept, or a run, has come: untaught, on the way, and taught.

    The untaught model draws at their resolution, so that its noise is theirs.
    """
    if isinstance(subject, Concept):
        on_the_way = of_run(found) if (found := run_of(subject)) else []
        return [of_base(subject.base, subject.resolution), *on_the_way, of_concept(subject)]
    try:
        return [of_base(subject.config.model.base, _resolution(subject)), *of_run(subject)]
    except (UsageError, OSError):
        return []


def by_name(sources: Sequence[Source]) -> dict[str, Source]:
    """``sources`` by their names. A base model that is called like a concept among them goes by its label."""
    concepts = {source.concept for source in sources}
    return {source.label if source.name in concepts - {source.concept} else source.name: source for source in sources}


def run_of(concept: Concept) -> Run | None:
    """The run that a concept came from, if it is kept."""
    name = Path(concept.run).name
    folder = paths.runs_dir() / name
    return Run(folder) if name and name == concept.run and (folder / "config.toml").is_file() else None
