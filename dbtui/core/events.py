"""The vocabulary of a run's journal: flat events, one page."""

from __future__ import annotations

import dataclasses
import json
import math
import time as clock
from dataclasses import dataclass, field
from typing import Any, ClassVar

VERSION = 1
"""Of the events; readers skip kinds and fields they do not know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened at ``time`` (seconds since the epoch)."""

    kind: ClassVar[str]
    time: float = field(default_factory=clock.time)


@dataclass(frozen=True, kw_only=True, slots=True)
class Started(Event):
    """A trainer of ``processes`` took up the run; steps after ``resumed_from`` in the journal's past are void."""

    kind: ClassVar[str] = "started"
    pid: int
    steps: int
    resumed_from: int = 0
    processes: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase(Event):
    """Work before, between or after the steps; ``done`` of ``total`` units (0: not countable)."""

    kind: ClassVar[str] = "phase"
    name: str
    done: int = 0
    total: int = 0
    unit: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate(Event):
    """What the run will need, known before its first step: bytes, and seconds until it is done.

    ``memory`` at its peak, of ``memory_free`` that the device has for it; ``device`` by the name that
    rates are remembered by; ``source`` is measured or counted.
    """

    kind: ClassVar[str] = "estimate"
    device: str
    memory: int
    memory_free: int
    disk: int
    disk_free: int
    seconds: float | None = None
    source: str = "counted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step(Event):
    """One optimizer step. ``seconds`` it took; ``memory`` is the peak in bytes so far."""

    kind: ClassVar[str] = "step"
    step: int
    loss: float
    instance_loss: float
    prior_loss: float | None = None
    learning_rate: float
    grad_norm: float
    seconds: float
    epoch: float
    memory: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample(Event):
    """A grid made from the weights after ``step``; ``path`` is relative to the run folder."""

    kind: ClassVar[str] = "sample"
    step: int
    path: str
    prompts: list[str]
    seeds: list[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint(Event):
    """A verified checkpoint; ``path`` is relative to the run folder, ``size`` in bytes.

    ``seconds`` from its beginning until it was on the disk; the training stood still for ``stalled`` of them.
    """

    kind: ClassVar[str] = "checkpoint"
    step: int
    path: str
    size: int
    seconds: float
    stalled: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Log(Event):
    """A sentence for the person; ``level`` is info or warning."""

    kind: ClassVar[str] = "log"
    message: str
    level: str = "info"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended(Event):
    """The last event of a trainer; ``reason`` is done, stopped or failed."""

    kind: ClassVar[str] = "ended"
    reason: str
    step: int
    message: str = ""
    hint: str = ""
    concept: str = ""


KINDS: dict[str, type[Event]] = {
    kind.kind: kind for kind in (Started, Phase, Estimate, Step, Sample, Checkpoint, Log, Ended)
}


def encode(event: Event) -> str:
    """One line of JSON, without the line's end. Numbers that are not finite become null."""
    values = {"kind": event.kind, "version": VERSION, **dataclasses.asdict(event)}
    finite = {k: None if isinstance(v, float) and (v != v or abs(v) == float("inf")) else v for k, v in values.items()}
    return json.dumps(finite, ensure_ascii=False, allow_nan=False)


def decode(line: str | bytes) -> Event | None:
    """The event on a line; None for a kind from a later version. Raises ValueError."""
    try:
        return from_values(json.loads(line))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def from_values(values: Any) -> Event | None:
    """The event that a line's JSON value is; None for a kind from a later version. Raises ValueError."""
    if not isinstance(values, dict) or not isinstance(values.get("kind"), str):
        raise ValueError("an event is a JSON object with a kind")
    kind = KINDS.get(values["kind"])
    if kind is None:
        return None
    layout = (kind, *values, *map(type, values.values()))
    if layout in _SOUND:  # as nearly all lines are, one as the other: not to be looked at name by name
        del values["kind"], values["version"]
        return kind(**values)
    declared, known = FIELDS[kind], {}
    for name, value in values.items():
        accepted = declared.get(name)
        if accepted is None:
            continue
        if type(value) not in accepted:
            if value is not None or accepted is not NUMBER:
                raise ValueError(f"{name}: {value!r} cannot be")
            value = math.nan  # what is not finite has no name in JSON
        known[name] = value
    try:
        event = kind(**known)
    except TypeError as error:
        raise ValueError(str(error)) from error
    if (
        len(_SOUND) < LAYOUTS
        and "version" in values
        and values == {"kind": kind.kind, "version": values["version"], **known}
    ):
        _SOUND.add(layout)
    return event


LAYOUTS = 64
"""Layouts that are remembered: what this program writes has one or two of a kind."""

_SOUND: set[tuple[object, ...]] = set()
"""A kind, the names of a line and their types, which were once found to be an event and nothing else."""


NUMBER = frozenset({int, float})

TYPES: dict[str, frozenset[type]] = {
    "int": frozenset({int}), "float": NUMBER, "float | None": frozenset({int, float, type(None)}),
    "str": frozenset({str}), "list[str]": frozenset({list}), "list[int]": frozenset({list}),
}  # fmt: skip
"""The types of JSON's values that a declared type accepts; a bool is not a number."""

FIELDS: dict[type[Event], dict[str, frozenset[type]]] = {
    kind: {f.name: TYPES[str(f.type)] for f in dataclasses.fields(kind)} for kind in KINDS.values()
}
"""What each field of each kind accepts."""
