"""replay: a training seen again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dbtui.commands.options import json_option
from dbtui.core.errors import DONE, INTERRUPTED

if TYPE_CHECKING:
    from dbtui.jobs.replay import Replay


@click.command()
@click.argument("journal")
@click.option("--speed", default=1.0, show_default=True, metavar="X", help="How many times as fast as it was.")
@json_option
def replay(journal: str, speed: float, as_json: bool) -> int:
    """Play a training's JOURNAL back in the dashboard.

    JOURNAL is a journal.jsonl, the folder of a run, a run's id or its concept's name.
    Without a terminal it is told in lines, as `dbtui follow` tells it.
    """
    from dbtui.commands.app import can_open_app, run_app
    from dbtui.jobs.replay import Replay, find_journal

    source = Replay(find_journal(journal), speed)
    if as_json or not can_open_app():
        return _tell(source, as_json)
    from dbtui.app.messages import OpenRun

    run_app("", "", OpenRun(source.run, source))
    return DONE


def _tell(source: Replay, as_json: bool) -> int:
    from dbtui.terminal import RunView, result, result_json

    try:
        with RunView(source.run) as view:
            for event in source.events():
                view.show(event)
    except KeyboardInterrupt:
        return INTERRUPTED
    state = source.state()
    if as_json:
        result_json({"run": source.run.id, "state": state.name, "step": state.step, "message": state.message})
    else:
        result(f"The journal ends: {state.name} at step {state.step}. {state.message}".strip())
    return DONE
