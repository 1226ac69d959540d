"""train, follow, stop, resume: a run from any shell."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbtui.commands.options import json_option
from dbtui.core.errors import DONE, FAILED, INTERRUPTED, DbtuiError, UsageError

if TYPE_CHECKING:
    from dbtui.core.config import Config
    from dbtui.core.run import Run
    from dbtui.jobs.begin import Checked

Command = Callable[..., Any]


def training_options(command: Command) -> Command:
    """The options that make up a config."""
    options = [
        click.option("--name", default="", help="The concept's name; made from the folder's if left out."),
        click.option("--prompt", help="Describes the photos, with a rare word: 'a photo of sks dog'."),
        click.option("--class-prompt", help="Turns on prior preservation: 'a photo of a dog'."),
        click.option("--model", help="'mini', a diffusers folder, or a hub id in the local cache."),
        click.option("--preset", default="", help="balanced (default), tutorial, low-vram or mini."),
        click.option("--config", "file", type=click.Path(path_type=Path), help="A TOML file with parameters."),
        click.option("--set", "assignments", multiple=True, metavar="SECTION.FIELD=VALUE", help="Set one parameter."),
        click.option("--detach", is_flag=True, help="Return at once; the training goes on."),
        click.option("--print-config", is_flag=True, help="Print the config as TOML and do nothing."),
        click.option("--parameters", is_flag=True, help="Print the table of parameters and do nothing."),
    ]
    return functools.reduce(lambda f, option: option(f), reversed(options), command)


@click.command()
@click.argument("folder", required=False)
@training_options
@json_option
def train(
    folder: str | None,
    name: str,
    prompt: str | None,
    class_prompt: str | None,
    model: str | None,
    preset: str,
    file: Path | None,
    assignments: tuple[str, ...],
    detach: bool,
    print_config: bool,
    parameters: bool,
    as_json: bool,
) -> int:
    """Teach the subject of the photos in FOLDER, and follow the training."""
    from dbtui.core.config import parse_assignment
    from dbtui.core.presets import assemble

    if parameters:
        return _print_parameters()
    flags = {
        "data.folder": folder,
        "concept.name": name or None,
        "concept.prompt": prompt,
        "prior.class_prompt": class_prompt,
        "prior.enabled": True if class_prompt is not None else None,
        "model.base": model,
    }
    changes = {key: value for key, value in flags.items() if value is not None}
    changes.update(dict(parse_assignment(a) for a in assignments))
    config = assemble(preset, file, changes)
    if print_config:
        sys.stdout.write(config.to_toml())
        return DONE
    run = begin_run(config)
    return _hand_over(run, as_json) if detach else _follow(run, as_json)


def begin_run(config: Config) -> Run:
    """Say what is about to be taught, and start its trainer. Raises DbtuiError for what is wrong with it."""
    from dbtui.jobs.begin import begin, check
    from dbtui.jobs.launch import launch

    checked = check(config, _count_pictures)
    _describe(checked)
    run = begin(checked)
    launch(run)
    return run


def _hand_over(run: Run, as_json: bool) -> int:
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


def _count_pictures(done: int, total: int) -> None:
    from dbtui.terminal import narration

    console = narration()
    if console.is_terminal and total > 1:
        console.print(f"looking at picture {done}/{total}", end="\r" if done < total else "\n")


def _describe(checked: Checked) -> None:
    """What is about to be done, in the words of the report."""
    from dbtui.core.config import ConceptConfig
    from dbtui.core.units import plural
    from dbtui.terminal import say

    config, report = checked.config, checked.report
    say(f"Teaching {config.concept.name!r}: {config.concept.prompt!r}, on {checked.base.name} ({checked.base.family}).")
    if config.concept.prompt == ConceptConfig().prompt:
        say("No --prompt was given. A word for the kind teaches better: --prompt 'a photo of sks dog'.", "yellow")
    say(f"{plural(len(report.pictures), 'photo')} at {config.data.resolution} px from {report.folder}.")
    for skipped in report.skipped:
        say(f"Not used: {skipped.path.name}: {skipped.reason}.", "yellow")
    for warning in report.warnings:
        say(f"Note: {warning}.", "yellow")


def _print_parameters() -> int:
    from dbtui.core.config import SECTIONS, Config
    from dbtui.terminal import result

    defaults = Config()
    for section, fields in SECTIONS.items():
        result(f"\n{section}")
        for spec in fields:
            result(
                f"  {spec.key} = {spec.format(defaults[spec.key])}  ({spec.range}{' ' + spec.unit if spec.unit else ''})"
            )
            result(f"      {spec.help}")
    return DONE


def _follow(run: Run, as_json: bool) -> int:
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
            run.request("stop")
            say("Stopping at the next step.")


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
    from dbtui.terminal import result, result_json, say, show_error

    state = run.state()
    values: dict[str, Any] = {"run": run.id, "state": state.name, "step": state.step, "path": str(run.path)}
    if state.name == "done":
        concept = find_concept(state.concept)
        if as_json:
            result_json({**values, "concept": concept.name, "concept_path": str(concept.path)})
        else:
            result(f"Taught {concept.name!r} in {state.step} steps: {concept.path}")
            say(f"Try it: dbtui sample {concept.name} {concept.prompt + ' on the beach'!r}")
        return DONE
    if as_json:
        result_json({**values, "message": state.message, "hint": state.hint})
    if state.name == "stopped":
        say(f"{state.message} `dbtui resume {run.id}` goes on.")
        return INTERRUPTED
    if state.name == "live":
        return DONE
    message = (
        state.message or f"The trainer of {run.id} is gone and left no word; its machine may have been switched off."
    )
    hint = state.hint or f"`dbtui resume {run.id}` goes on from the last checkpoint; {run.log} has the details."
    show_error(DbtuiError(f"The run {state.name if state.name == 'failed' else 'is lost'}", message, hint))
    return FAILED


@click.command()
@click.argument("run")
@click.option("--detach", is_flag=True, help="Return at once; the training goes on.")
@json_option
def resume(run: str, detach: bool, as_json: bool) -> int:
    """Take up a stopped, failed or lost RUN (its id or its concept's name) from its last checkpoint."""
    from dbtui.core.run import find_run
    from dbtui.jobs.launch import launch

    found = find_run(run)
    state = found.state()
    if state.name == "done":
        raise UsageError(
            f"{found.id} is done", f"It has had its {state.step} steps.", "Start a new run with more of them."
        )
    launch(found)
    return _hand_over(found, as_json) if detach else _follow(found, as_json)


@click.command()
@click.argument("run")
@json_option
def follow(run: str, as_json: bool) -> int:
    """Watch RUN (its id or its concept's name)."""
    from dbtui.core.run import find_run

    return _follow(find_run(run), as_json)


@click.command()
@click.argument("run")
@click.option("--wait", default=120.0, show_default=True, help="Seconds to wait for the end.")
@json_option
def stop(run: str, wait: float, as_json: bool) -> int:
    """End RUN at its next step, with a checkpoint to resume from."""
    from dbtui.core.run import find_run
    from dbtui.jobs.follow import wait_until_over
    from dbtui.terminal import result, result_json, say

    found = find_run(run)
    state = found.state()
    if state.name != "live":
        raise UsageError(f"{found.id} is not running", f"It is {state.name}.", "See `dbtui ls`.")
    found.request("stop")
    say("Asked it to stop; waiting for its checkpoint.")
    state = wait_until_over(found, wait)
    if as_json:
        result_json({"run": found.id, "state": state.name, "step": state.step, "message": state.message})
    elif state.over:
        result(f"{found.id} is {state.name} at step {state.step}. {state.message}")
    else:
        say(f"It has not ended after {wait:g} s; it will at the end of what it is doing.", "yellow")
    return DONE if state.over else FAILED
