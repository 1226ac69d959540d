"""replay: a training seen again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dbtui.core.errors import DONE, INTERRUPTED

if TYPE_CHECKING:
    from dbtui.jobs.replay import Replay


@click.command()
@click.argument("journal")
@click.option("--speed", default=1.0, show_default=True, metavar="X", help="How many times as fast as it was.")
def replay(journal: str, speed: float) -> int:
    """Play a training's JOURNAL back in the dashboard.

    JOURNAL is a journal.jsonl, the folder of a run, a run's id or its concept's name.
    Without a terminal it is told in lines, as `dbtui follow` tells it.
    """
    from dbtui.commands.app import can_open_app, run_app
    from dbtui.jobs.replay import Replay, find_journal

    source = Replay(find_journal(journal), speed)
    if not can_open_app():
        return _tell(source)
    from dbtui.app.messages import OpenRun

    run_app("", "", OpenRun(source.run, source))
    return DONE


def _tell(source: Replay) -> int:
    from dbtui.terminal import RunView, result

    try:
        with RunView(source.run) as view:
            for event in source.events():
                view.show(event)
    except KeyboardInterrupt:
        return INTERRUPTED
    state = source.state()
    result(f"The journal ends: {state.name} at step {state.step}. {state.message}".strip())
    return DONE
