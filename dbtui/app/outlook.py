"""What a run of a draft would need of this machine, and what stands in its way: found out in worker threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual.message_pump import MessagePump
from textual.worker import get_current_worker

from dbtui.app.messages import Foreseen, OpenRun, ReadyToStart, Starting
from dbtui.core.base_model import BaseModel, find_model
from dbtui.core.config import Config
from dbtui.core.download import Plan, is_missing, plan_missing
from dbtui.core.errors import DbtuiError, UsageError
from dbtui.core.receive import Listener
from dbtui.jobs.begin import Checked, begin, check, choose_name, complete
from dbtui.jobs.forecast import make_forecast
from dbtui.jobs.launch import launch

PHOTOS = ("data.folder", "data.urls", "data.exclude")
"""What is chosen among the photos, and not in the form."""


class Outlook:
    """Remembers what the hub said of models."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan | DbtuiError] = {}

    def forget(self) -> None:
        """Ask the hub anew."""
        self._plans.clear()

    def foresee(self, screen: MessagePump, number: int, config: Config, ask: bool) -> None:
        """Post the forecast, or the first thing in its way. ``ask``: the hub may be asked for the model."""
        key = ""
        try:
            config.check()
            key = "concept.name"
            choose_name(config)
            key = "model.base"
            if config.model.base not in self._plans and is_missing(config.model.base):
                if not ask:
                    raise UsageError("This model is not on this machine", "The hub is asked once this field is left.")
                screen.post_message(Foreseen(number))
            base, coming = self._find(config)
            key = "data.resolution"
            config = complete(config, base)
            key = ""
            screen.post_message(Foreseen(number, make_forecast(config, base, coming)))
        except DbtuiError as error:
            screen.post_message(Foreseen(number, problem=error, key=key))

    def plan(self, name: str) -> Plan | None:
        """What has to be downloaded of a model. Raises DbtuiError."""
        if not is_missing(name):
            return None
        if name not in self._plans:
            try:
                plan = plan_missing(name, Listener())
            except DbtuiError as error:
                self._plans[name] = error
            else:
                if plan is None:
                    return None
                self._plans[name] = plan
        found = self._plans[name]
        if isinstance(found, DbtuiError):
            raise found
        return found

    def _find(self, config: Config) -> tuple[BaseModel, int]:
        """The model, and the bytes of it that are still to come."""
        plan = self.plan(config.model.base)
        base = find_model(config.model.base, plan.coming() if plan else {}, config.model.prediction)
        return base, plan.size - plan.arrived if plan else 0


def check_draft(
    screen: MessagePump, config: Config, downloaded: Path | None, plan: Callable[[str], Plan | None]
) -> None:
    """Look at all that was asked, and begin; a download of gigabytes is asked about first. Raises DbtuiError.

    ``downloaded`` is the folder that the pictures of ``data.urls`` are in. Nothing begins once the screen is left.
    """

    worker = get_current_worker()

    def progress(done: int, total: int) -> None:
        screen.post_message(Starting(f"Looking at photo {min(done + 1, total):,} of {total:,} \u2026"))

    def download(urls: list[str]) -> Path:
        assert downloaded is not None
        return downloaded

    screen.post_message(Starting("Looking at the model \u2026"))
    checked = check(config, progress, download if downloaded else None, plan)
    if worker.is_cancelled:
        return
    if checked.missing and checked.missing.weights:
        screen.post_message(ReadyToStart(checked))
    else:
        begin_checked(screen, checked)


def begin_checked(screen: MessagePump, checked: Checked) -> None:
    """Start the trainer of what was checked. Raises DbtuiError."""
    screen.post_message(Starting("Starting the trainer \u2026"))
    run = begin(checked)
    launch(run)
    screen.post_message(OpenRun(run))
