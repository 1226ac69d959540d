"""follow, stop, resume: a run from any shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dbtui.commands.options import json_option, offline_option
from dbtui.core.errors import DONE, FAILED, INTERRUPTED, DbtuiError, UsageError, obstacle

if TYPE_CHECKING:
    from dbtui.core.run import Run


def hand_over(run: Run, as_json: bool) -> int:
    """Say how to come back to a run that was started in the background."""
    from dbtui.terminal import result, result_json, say

    trainer = run.trainer()
    if as_json:
        pid = trainer[0] if trainer else 0
        result_json({"run": run.id, "pid": pid, "concept": run.config.concept.name, "path": str(run.path)})
    else:
        result(run.id)
        say(f"Training in the background. `dbtui follow {run.id}` shows it, `dbtui stop {run.id}` ends it.")
    return DONE


def follow_to_end(run: Run, as_json: bool) -> int:
    """Watch the run, and say how it ended."""
    return report_end(run, as_json) if watch(run) else INTERRUPTED


def watch(run: Run) -> bool:
    """Show the run until it is over. Ctrl-C asks whether to leave it (then false) or to stop it."""
    from dbtui.jobs.follow import Follower
    from dbtui.terminal import RunView, say

    say(f"Run {run.id}. It goes on if this terminal closes; `dbtui follow {run.id}` comes back to it.", "dim")
    while True:
        try:
            with RunView(run) as view:
                for event in Follower(run).events():
                    view.show(event)
            return True
        except KeyboardInterrupt:
            answer = _ask_what_to_do()
        if answer == "d":
            say(f"Left {run.id} training. `dbtui follow {run.id}` comes back, `dbtui stop {run.id}` ends it.")
            return False
        if answer == "s":
            _ask_to_stop(run)
            say("Stopping at the next step.")


def _ask_to_stop(run: Run) -> None:
    """Raises DbtuiError if the disk does not take the request."""
    try:
        run.request("stop")
    except OSError as error:
        message, hint = obstacle(error, run.path)
        raise DbtuiError("It could not be asked to stop", f"{message} {run.id} goes on training.", hint) from error


def _ask_what_to_do() -> str:
    from dbtui.terminal import ask, drain_input

    drain_input()
    try:
        answers = {"d": "detach", "s": "stop it, with a checkpoint", "c": "go on watching"}
        return ask("\nThe training goes on.", answers, "d")
    except KeyboardInterrupt:
        return "d"


def report_end(run: Run, as_json: bool) -> int:
    """How the run ended, and the exit code for it."""
    from dbtui.core.library import find_concept
    from dbtui.core.run import LOST
    from dbtui.core.units import plural
    from dbtui.terminal import result, result_json, say, show_error

    state = run.state()
    values: dict[str, Any] = {"run": run.id, "state": state.name, "step": state.step, "path": str(run.path)}
    if state.name == "done":
        concept = find_concept(state.concept)
        if as_json:
            result_json({**values, "concept": concept.name, "concept_path": str(concept.path)})
        else:
            result(f"Taught {concept.name!r} in {plural(state.step, 'step')}: {concept.path}")
            say(f"Try it: dbtui sample {concept.name} {concept.prompt + ' on the beach'!r}")
        return DONE
    if as_json:
        result_json({**values, "message": state.message, "hint": state.hint})
    if state.name == "stopped":
        say(f"{state.message} `dbtui resume {run.id}` goes on.")
        return INTERRUPTED
    if state.name == "live":
        return DONE
    message = state.message or LOST
    hint = state.hint or f"`dbtui resume {run.id}` goes on from the last checkpoint; {run.log} has the details."
    show_error(DbtuiError(f"The run {state.name if state.name == 'failed' else 'is lost'}", message, hint))
    return FAILED


@click.command()
@click.argument("run")
@click.option("--detach", is_flag=True, help="Return at once; the training goes on.")
@click.option("--processes", metavar="N", help="Train in N processes, or auto; each step stays what it was.")
@offline_option
@json_option
def resume(run: str, detach: bool, processes: str | None, as_json: bool) -> int:
    """Go on with a RUN that was stopped, failed or was cut off.

    RUN is its id or its concept's name; `dbtui ls` lists them. It goes on from its last checkpoint.
    """
    from dbtui.core.config import find_field
    from dbtui.core.run import find_run
    from dbtui.jobs.launch import launch

    found = find_run(run)
    state = found.state()
    if state.name == "done":
        raise UsageError(
            f"{found.id} is done", f"It has had its {state.step} steps.", "Start a new run with more of them."
        )
    count = None if processes is None else find_field("training.processes").parse(processes)
    assert count is None or isinstance(count, (int, str))
    launch(found, count)
    return hand_over(found, as_json) if detach else follow_to_end(found, as_json)


@click.command()
@click.argument("run")
@json_option
def follow(run: str, as_json: bool) -> int:
    """Watch RUN as it trains, until it ends.

    RUN is its id or its concept's name; `dbtui ls` lists them. Ctrl-C asks whether to leave it training or to stop it.
    """
    from dbtui.core.run import find_run

    return follow_to_end(find_run(run), as_json)


@click.command()
@click.argument("run")
@click.option("--wait", default=120.0, show_default=True, help="Seconds to wait for the end.")
@json_option
def stop(run: str, wait: float, as_json: bool) -> int:
    """End RUN at its next step, with a checkpoint to resume from.

    RUN is its id or its concept's name; `dbtui ls` lists them. `dbtui resume RUN` goes on.
    """
    from dbtui.core.run import find_run
    from dbtui.jobs.follow import wait_until_over
    from dbtui.terminal import result, result_json, say

    found = find_run(run)
    state = found.state()
    if state.name != "live":
        raise UsageError(f"{found.id} is not running", f"It is {state.name}.", "See `dbtui ls`.")
    _ask_to_stop(found)
    say("Asked it to stop; waiting for its checkpoint.")
    state = wait_until_over(found, wait)
    if as_json:
        result_json({"run": found.id, "state": state.name, "step": state.step, "message": state.message})
    elif state.over:
        result(f"{found.id} is {state.name} at step {state.step}. {state.message}")
    else:
        say(f"It has not ended after {wait:g} s; it will at the end of what it is doing.", "yellow")
    return DONE if state.over else FAILED
