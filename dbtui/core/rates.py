"""How fast this machine was in earlier runs: a small file in the cache, so that the time of the next can be told."""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from dbtui.core import paths
from dbtui.core.config import Config
from dbtui.core.events import Checkpoint, Event, Phase, Sample, Started, Step

MOST = 100
"""Entries that the file keeps; the oldest go first."""


READYING = ("loading", "encoding the photos", "warming up")
"""How the phases before the first step begin that every run has."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Speeds that were seen; None where nothing was."""

    loading: float | None = None
    """Seconds until the first step, without what is made once and kept."""
    training: float | None = None
    """Operations a second in steps."""
    drawing: float | None = None
    """Operations a second in samples."""
    writing: float | None = None
    """Bytes a second into the concept, and into checkpoints that are written at once."""
    copying: float | None = None
    """Bytes of a checkpoint for a second that the training stands still for it: the rest is written meanwhile."""


UNKNOWN = Rates()


def cpu_name() -> str:
    """The CPU, as entries name it."""
    return f"CPU with {os.cpu_count()} cores"


def observe(
    events: Iterable[Event], now: float, step_operations: float, grid_operations: float, concept_bytes: int
) -> Rates:
    """What the journal of a run that is done at ``now`` shows since its trainer last started.

    The operations of one step and of one grid of samples, and the size of the concept, are counted elsewhere.
    """
    spent: defaultdict[str, float] = defaultdict(float)
    steps: list[float] = []
    grids, written, stalled, phase = 0, 0, 0.0, None
    for event in events:
        if isinstance(event, Started):
            spent.clear()
            steps.clear()
            grids, written, stalled, phase = 0, 0, 0.0, None
        elif isinstance(event, Phase):
            if phase is not None:
                spent[phase.name] += event.time - phase.time
            phase = event
        elif isinstance(event, Step):
            steps.append(event.seconds)
        elif isinstance(event, Sample):
            grids += 1
        elif isinstance(event, Checkpoint):
            # A journal that does not tell was written when the training still waited for the disk.
            written, stalled = written + event.size, stalled + (event.stalled or event.seconds)
    if phase is not None:
        spent[phase.name] += now - phase.time
    return Rates(
        loading=sum(seconds for name, seconds in spent.items() if name.startswith(READYING)) or None,
        training=_rate(step_operations, median(steps) if steps else 0.0),
        drawing=_rate(grids * grid_operations, spent["sampling"]),
        writing=_rate(concept_bytes, spent["saving the concept"]),
        copying=_rate(written, stalled),
    )


def _rate(amount: float, seconds: float) -> float | None:
    return amount / seconds if amount > 0 and seconds > 0 else None


def recall(device: str, config: Config) -> Rates:
    """What is known of the device of that name: with these parameters or else with others on the same model."""
    entries = _read()
    known: dict[str, float] = {}
    for key in reversed(_keys(device, config)):
        known.update(entries.get(key, {}))
    return Rates(**known)


def has_trained(device: str, config: Config) -> bool:
    """Whether the speed of steps is known of exactly these parameters."""
    return "training" in _read().get(_keys(device, config)[0], {})


def remember(device: str, config: Config, rates: Rates) -> None:
    """Keep ``rates`` for later runs. A cache that cannot be written costs them a forecast, nothing more."""
    seen = {name: value for name, value in asdict(rates).items() if value is not None}
    entries = _read()
    for key in _keys(device, config):
        entries[key] = {**entries.pop(key, {}), **seen}
    newest = dict(list(entries.items())[-MOST:])
    with contextlib.suppress(OSError):
        paths.make_private(_file().parent)
        paths.write_atomic(_file(), json.dumps(newest, indent=1))


def _keys(device: str, config: Config) -> tuple[str, str]:
    """Of an entry: the exact parameters that speed depends on, then the model alone."""
    training = config.training
    model = f"{device}, {config.model.base}"
    exact = (
        f"{config.data.resolution} px, batch {training.batch_size}, prior {config.prior.enabled}, {training.precision}, "
        f"{training.optimizer}, checkpointing {training.gradient_checkpointing}, {training.layers} layers, "
        f"graph {training.graph}, text encoder {training.text_encoder}, average {training.ema}, {training.processes} processes"
    )
    return f"{model}, {exact}", model


def _file() -> Path:
    return paths.cache_dir() / "rates.json"


def _read() -> dict[str, dict[str, float]]:
    """The entries that make sense: the file is only a memory, and may be damaged."""
    try:
        entries: Any = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: _sound(entry) for key, entry in entries.items()} if isinstance(entries, Mapping) else {}


def _sound(entry: Any) -> dict[str, float]:
    if not isinstance(entry, Mapping):
        return {}
    names = Rates.__dataclass_fields__
    return {
        name: float(value)
        for name, value in entry.items()
        if name in names and isinstance(value, (int, float)) and value > 0
    }
