"""From what a person asked to a run that can be launched: everything that can be found wrong is found here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dbtui.core.base_model import BaseModel, find_model
from dbtui.core.config import NO_TRACKER, Config
from dbtui.core.dataset import Report, scan
from dbtui.core.download import Plan, plan_missing
from dbtui.core.errors import UsageError
from dbtui.core.fields import AUTO
from dbtui.core.hub_cache import hub_library
from dbtui.core.library import exists
from dbtui.core.names import check_name, free_name, slug
from dbtui.core.paths import expand
from dbtui.core.receive import Listener
from dbtui.core.run import Run, run_of_name
from dbtui.jobs.forecast import Forecast, make_forecast
from dbtui.jobs.processes import resolve


@dataclass(frozen=True, slots=True)
class Checked:
    """A config that can be run, with what was found on the way."""

    config: Config
    base: BaseModel
    report: Report
    forecast: Forecast
    downloaded: bool = False
    """Whether the photos lie in a folder that goes away, so that the run must keep them."""
    missing: Plan | None = None
    """The base model's weights that the trainer has to download first."""


def check(
    config: Config,
    progress: Callable[[int, int], None] = lambda done, total: None,
    download: Callable[[list[str]], Path] | None = None,
    plan: Callable[[str], Plan | None] = lambda name: plan_missing(name, Listener()),
) -> Checked:
    """Complete and check ``config``: the name, the model, the photos. Writes nothing, but for the small
    files of a model that is still on the hub: ``plan`` brings them into the hub's cache and says what is to come.

    ``download`` brings the pictures of ``data.urls`` into a folder and returns that; it is called where no
    ``data.folder`` is named, once all that can be found wrong without the pictures has been looked for.
    Raises UsageError or DbtuiError for the first thing that is wrong.
    """
    config.check()
    hub_library()  # which the trainer's libraries begin with, for a model of any kind
    _check_tracker(config.training.track)
    urls = [] if config.data.folder else config.data.urls
    if not config.data.folder and not (urls and download):
        raise UsageError(
            "Which photos?",
            "No folder was named, and no web address.",
            "dbtui train FOLDER --prompt 'a photo of sks dog'",
        )
    name = choose_name(config)
    missing = plan(config.model.base)
    base = find_model(config.model.base, missing.coming() if missing else {}, config.model.prediction)
    config = complete(config, base)
    folder = download(urls) if urls and download else expand(config.data.folder).absolute()
    report = scan(folder, int(config.data.resolution), config.data.exclude, progress)
    config = config.replace({"concept.name": name, "data.folder": "" if urls else str(folder)})
    forecast = make_forecast(config, base, missing.size - missing.arrived if missing else 0)
    return Checked(config, base, report, forecast, downloaded=bool(urls), missing=missing)


def begin(checked: Checked) -> Run:
    """Create the run's folder. ``launch`` starts its trainer."""
    pictures = [{"path": str(p.path), "sha256": p.sha256} for p in checked.report.pictures]
    return Run.create(checked.config, pictures, checked.report.folder if checked.downloaded else None)


def complete(config: Config, base: BaseModel) -> Config:
    """``config`` with what the model and the machine decide: resolution, prediction, processes.

    Raises UsageError for what they cannot do.
    """
    asked = config.data.resolution
    return config.replace(
        {
            "data.resolution": base.check_resolution(base.resolution if asked == AUTO else int(asked)),
            "training.processes": resolve(config.training.processes),
            # A relative path would mean another folder to the trainer.
            "model.base": str(base.path) if expand(base.name).exists() and base.name != "mini" else base.name,
            "model.prediction": base.prediction,
        }
    )


def choose_name(config: Config) -> str:
    """The concept's name: as asked if it is free, or made from what the photos are of. Raises UsageError."""
    if not config.concept.name:
        folder = config.data.folder
        source = expand(folder).absolute().name if folder else _subject(config.concept.prompt)
        return free_name(slug(source) or "concept", _taken)
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


def _subject(prompt: str) -> str:
    """What a prompt is about: ``sks dog`` of ``a photo of sks dog``."""
    return prompt.rpartition(" of ")[2]


def _taken(name: str) -> bool:
    run = run_of_name(name)
    return exists(name) or (run is not None and run.trainer() is not None)


def _check_tracker(name: str) -> None:
    """Refuse a tracker whose package is missing. Raises UsageError."""
    if name != NO_TRACKER and find_spec(name) is None:
        raise UsageError(
            f"{name} is not installed",
            f"The run is to be told to {name}, which is a package of its own. Nothing was started.",
            f"`{sys.executable} -m pip install {name}`, or leave out --track.",
        )
