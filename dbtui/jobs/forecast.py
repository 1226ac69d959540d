"""What a run will need of this machine, before it starts; and the refusal of one that cannot fit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from dbtui.core.architecture import Architecture
from dbtui.core.base_model import BaseModel
from dbtui.core.budget import Budget, estimate, place_of_copy
from dbtui.core.config import Config
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.fields import Value
from dbtui.core.fit import SPARE, decide, find_change, too_big, words
from dbtui.core.hub_cache import cache_root
from dbtui.core.paths import cache_dir, data_dir
from dbtui.core.rates import recall
from dbtui.core.units import format_bytes, spell_duration
from dbtui.core.weights import free_space
from dbtui.jobs.room import Room, find_room


class DoesNotFitError(DbtuiError):
    """A run that this machine has no room for; ``change`` are the parameters that would make it fit, if any do."""

    def __init__(self, title: str, message: str, hint: str, change: Mapping[str, Value]) -> None:
        super().__init__(title, message, hint)
        self.change = change


@dataclass(frozen=True, slots=True)
class Forecast:
    """``config`` is the run's with all that is auto decided; ``room`` is what each of its processes has."""

    config: Config
    budget: Budget
    room: Room
    disk_free: int

    def words(self) -> str:
        """As ``about 14.2 GB of 24.0 GB of memory, 1 min 50 s, 7.4 GB on disk``."""
        memory = f"{format_bytes(self.budget.memory_needed)} of {format_bytes(self.room.free)} of memory"
        duration = self.budget.duration
        time = "a time not known before the first run here" if duration is None else spell_duration(duration)
        return f"about {memory}, {time}, {format_bytes(self.budget.disk_needed)} on disk"

    def copy_place(self) -> str:
        """Where a checkpoint is set aside while it is written, as ``core.budget.place_of_copy`` says it."""
        left = self.room.free - self.budget.memory_needed
        if self.room.device == "cuda":
            return place_of_copy(self.budget.copy, left, psutil.virtual_memory().available)
        return place_of_copy(self.budget.copy, 0, left)


def make_forecast(config: Config, base: BaseModel, download: int = 0) -> Forecast:
    """The forecast for a config whose resolution and processes are numbers; ``download`` bytes are still on the hub.

    Raises DoesNotFitError for a run that does not fit the memory or the disk.
    """
    architecture = Architecture.of(base)
    room = find_room(int(config.training.processes))
    decided = decide(config, architecture, room.device, room.free, room.half)
    budget = estimate(decided, architecture, room.device, recall(room.name, decided), download)
    if budget.memory_needed * (1 - SPARE) > room.free:
        raise _too_big(decided, architecture, room, base.multiple)
    _check_disks(decided, architecture, room.device, budget)
    return Forecast(decided, budget, room, free_space(data_dir()))


def _too_big(config: Config, architecture: Architecture, room: Room, multiple: int) -> DoesNotFitError:
    """Where other programs hold what is missing, that is said first."""
    error = too_big(config, architecture, room.device, room.free, room.name, multiple)
    hint = error.hint
    if estimate(config, architecture, room.device).memory_needed <= room.total:
        held = format_bytes(room.total - room.free)
        hint = f"Other programs hold {held} of its {format_bytes(room.total)}: end them, or {hint}"
    change = find_change(config, architecture, room.device, room.free, multiple)
    return DoesNotFitError(error.title, f"{error.message} Nothing was started.", hint, change)


def _check_disks(config: Config, architecture: Architecture, device: str, budget: Budget) -> None:
    """Refuse what does not fit the disks that its parts go to. Raises DoesNotFitError."""
    full = _full_disk(budget)
    if full is None:
        return

    def fits(change: Mapping[str, Value]) -> bool:
        changed = config.replace(change)
        return _full_disk(estimate(changed, architecture, device, download=budget.disk["download"])) is None

    folder, needed, free = full
    change = _less_disk(config, fits)
    variable = "HF_HOME" if folder == cache_root() else "DBTUI_HOME"
    raise DoesNotFitError(
        "The disk is too full",
        f"The run would need {format_bytes(needed)} in {printable(folder)}, which has {format_bytes(free)} left. "
        "Nothing was started.",
        f"Make room, or set {variable} to another disk" + (f", or {words(change)}" if change else "."),
        change,
    )


def _full_disk(budget: Budget) -> tuple[Path, int, int] | None:
    """The folder of a disk that has not the room for all that goes there, with both numbers of bytes."""
    places = {"class pictures": cache_dir, "latents": cache_dir, "download": cache_root}
    needed: dict[int, tuple[Path, int]] = {}
    for part, count in budget.disk.items():
        if count:
            folder = places.get(part, data_dir)()
            disk = _existing(folder).stat().st_dev
            first, sum_so_far = needed.get(disk, (folder, 0))
            needed[disk] = first, sum_so_far + count
    full = ((folder, count, free_space(folder)) for folder, count in needed.values())
    return next((entry for entry in full if entry[1] > entry[2]), None)


def _less_disk(config: Config, fits: Callable[[Mapping[str, Value]], bool]) -> dict[str, Value]:
    """The most harmless change that makes it fit, or several; empty if none does."""
    changes: list[dict[str, Value]] = []
    if config.training.checkpoint_every:
        changes += [{"training.checkpoints_kept": 1}] if config.training.checkpoints_kept > 1 else []
        changes += [{"training.checkpoint_every": 0}]
    changes += [{"sampling.every": 0}] if config.sampling.every else []
    one = next((change for change in changes if fits(change)), None)
    every = {key: value for change in changes for key, value in change.items()}
    every.pop("training.checkpoints_kept", None)  # of none
    return one or (every if every and fits(every) else {})


def _existing(folder: Path) -> Path:
    """``folder``, or before it exists the one that it will be in."""
    return next(path for path in (folder, *folder.parents) if path.exists())
