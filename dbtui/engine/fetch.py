"""The base model's weights, if they are still on the hub: fetched by the trainer, before any library is loaded."""

from __future__ import annotations

import time

from dbtui.core.download import Plan, fetch, is_missing, make_plan, offline_refusal
from dbtui.core.errors import DbtuiError
from dbtui.core.receive import Listener
from dbtui.core.run import Run
from dbtui.core.units import format_bytes, format_duration
from dbtui.engine.narrator import Narrator
from dbtui.engine.stopping import StopFlag, Stopped


def fetch_base(run: Run, narrator: Narrator, stop: StopFlag, may_download: bool) -> None:
    """Download what is missing of the run's base model, as phases of the journal.

    Raises Stopped as soon as that was asked for, DbtuiError if the hub refuses or may not be asked; what arrived
    is kept either way.
    """
    name = run.config.model.base
    if not is_missing(name):
        return
    if not may_download:
        raise offline_refusal(name)

    def progress(phase: str, done: int, total: int) -> None:
        stop.check()
        narrator.phase(phase, done, total, "bytes" if total else "")

    listener = Listener(progress, lambda sentence: narrator.log(sentence, "warning"))
    started = time.monotonic()
    plan: Plan | None = None
    try:
        plan = make_plan(name, listener)
        before = plan.arrived
        fetch(plan, listener)
    except Stopped:
        if plan is not None:
            narrator.log(f"What arrived of {name} was kept; `dbtui resume {run.id}` goes on from there.")
        raise
    except DbtuiError as error:
        hint = f"{error.hint} `dbtui resume {run.id}` goes on with the download."
        raise DbtuiError(error.title, error.message, hint) from error
    size = sum((plan.snapshot.path / remote.file).stat().st_size for remote in plan.weights) - before
    narrator.log(f"Downloaded {format_bytes(size)} of {name} in {format_duration(time.monotonic() - started)}.")


def await_base(run: Run) -> None:
    """Wait until the leading process has all of the base model; if it ends without, this one is ended too."""
    while is_missing(run.config.model.base):
        time.sleep(0.2)
