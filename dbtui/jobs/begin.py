"""From what a person asked to a run that can be launched: everything that can be found wrong is found here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dbtui.core.base_model import BaseModel, find_model
from dbtui.core.config import Config
from dbtui.core.dataset import Report, scan
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.fields import AUTO
from dbtui.core.library import exists
from dbtui.core.names import check_name, free_name, slug
from dbtui.core.paths import data_dir
from dbtui.core.run import Run, run_of_name
from dbtui.core.units import format_bytes
from dbtui.core.weights import free_space


@dataclass(frozen=True, slots=True)
class Checked:
    """A config that can be run, with what was found on the way."""

    config: Config
    base: BaseModel
    report: Report


def check(config: Config, progress: Callable[[int, int], None] = lambda done, total: None) -> Checked:
    """Complete and check ``config``: the name, the model, the photos. Writes nothing.

    Raises UsageError or DbtuiError for the first thing that is wrong.
    """
    config.check()
    if not config.data.folder:
        raise UsageError("Which photos?", "No folder was named.", "dbtui train FOLDER --prompt 'a photo of sks dog'")
    folder = Path(config.data.folder).expanduser().absolute()
    name = _name(config, folder)
    base = find_model(config.model.base)
    asked = config.data.resolution
    resolution = base.check_resolution(base.resolution if asked == AUTO else int(asked))
    report = scan(folder, resolution, config.data.exclude, progress)
    config = config.replace(
        {
            "concept.name": name,
            "data.folder": str(folder),
            "data.resolution": resolution,
            # A relative path would mean another folder to the trainer.
            "model.base": str(base.path)
            if Path(base.name).expanduser().is_dir() and base.name != "mini"
            else base.name,
        }
    )
    _check_disk(config, base)
    return Checked(config, base, report)


def begin(checked: Checked) -> Run:
    """Create the run's folder. ``launch`` starts its trainer."""
    pictures = [{"path": str(p.path), "sha256": p.sha256} for p in checked.report.pictures]
    return Run.create(checked.config, pictures)


def _name(config: Config, folder: Path) -> str:
    """The concept's name: as asked if it is free, or made from the folder's."""
    if not config.concept.name:
        return free_name(slug(folder.name) or "concept", _taken)
    name = check_name(config.concept.name)
    if exists(name):
        raise UsageError(
            f"The name {name!r} is taken",
            "The library has a concept of that name; nothing was changed.",
            f"Choose another --name, or `dbtui rm {name}`, or `dbtui rename {name} NEW`.",
        )
    if _taken(name):
        raise UsageError(
            f"{name!r} is being taught",
            "A live run is to become the concept of that name.",
            f"Watch it with `dbtui follow {name}`, or choose another --name.",
        )
    return name


def _taken(name: str) -> bool:
    run = run_of_name(name)
    return exists(name) or (run is not None and run.trainer() is not None)


def _check_disk(config: Config, base: BaseModel) -> None:
    """Refuse a run whose concept and checkpoints cannot fit on the disk. Raises DbtuiError."""
    trained = base.parameters["unet"] + (base.parameters["text_encoder"] if config.training.text_encoder else 0)
    training = config.training
    eight_bit = training.optimizer == "adamw8bit"
    # fp32 weights; a checkpoint has the optimizer's two moments too, and is whole before an older one goes.
    checkpoint = trained * ((6.1 if eight_bit else 12) + (4 if training.ema else 0))
    count = (
        min(training.checkpoints_kept, training.steps // training.checkpoint_every) + 1
        if training.checkpoint_every
        else 1
    )
    needed, free = trained * 4 + checkpoint * count, free_space(data_dir())
    if needed > free:
        raise DbtuiError(
            "The disk is too full",
            f"The run would need {format_bytes(needed)} in {printable(data_dir())}, which has {format_bytes(free)} left. "
            "Nothing was started.",
            "Make room, set DBTUI_HOME to another disk, or --set training.checkpoint_every=0.",
        )
