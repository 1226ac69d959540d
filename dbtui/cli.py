"""The command line: every action of the app, without the app."""

from __future__ import annotations

import functools
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dbtui import __version__
from dbtui.core.errors import DONE, FAILED, INTERRUPTED, WRONG_USE, DbtuiError, UsageError

Command = Callable[..., Any]

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.",
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="dbtui")
@click.pass_context
def cli(context: click.Context) -> None:
    """Teach Stable Diffusion a new subject from a few photos, in a terminal."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """The entry point ``dbtui``: turns errors into words and exit codes."""
    as_json = "--json" in sys.argv
    try:
        sys.exit(cli.main(standalone_mode=False) or DONE)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(WRONG_USE)
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)
    except DbtuiError as error:
        from dbtui.terminal import show_error

        show_error(error, as_json)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(FAILED)
    except OSError as error:
        from dbtui.terminal import show_error

        show_error(DbtuiError("A file could not be used", str(error), "See `dbtui where` for the folders."), as_json)
        sys.exit(FAILED)


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


@cli.command()
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
    return _train(config, detach, as_json)


def _train(config: Any, detach: bool, as_json: bool) -> int:
    from dbtui.jobs.begin import begin, check
    from dbtui.jobs.launch import launch
    from dbtui.terminal import result, result_json, say

    checked = check(config, _count_pictures)
    _describe(checked)
    run = begin(checked)
    pid = launch(run)
    if not detach:
        say(f"Run {run.id}. It goes on if this terminal closes; `dbtui follow {run.id}` comes back to it.", "dim")
        return _follow(run, as_json)
    if as_json:
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


def _describe(checked: Any) -> None:
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
            result(f"  {spec.key} = {spec.format(defaults[spec.key])}  ({spec.range}{' ' + spec.unit if spec.unit else ''})")
            result(f"      {spec.help}")
    return DONE


def _follow(run: Any, as_json: bool) -> int:
    """Show the run until it is over. Ctrl-C asks whether to leave it or to stop it."""
    from dbtui.jobs.follow import Follower
    from dbtui.terminal import RunView, ask, drain_input, say

    follower = Follower(run)
    events = follower.events()
    with RunView(run) as view:
        while True:
            try:
                for event in events:
                    view.show(event)
                break
            except KeyboardInterrupt:
                view.__exit__(None, None, None)
                drain_input()
                try:
                    answer = ask(
                        "\nThe training goes on.",
                        {"d": "detach", "s": "stop it, with a checkpoint", "c": "go on watching"},
                        "d",
                    )
                except KeyboardInterrupt:
                    answer = "d"
                if answer == "d":
                    say(f"Left {run.id} training. `dbtui follow {run.id}` comes back, `dbtui stop {run.id}` ends it.")
                    return INTERRUPTED
                if answer == "s":
                    run.request("stop")
                    say("Stopping at the next step.")
                view.__enter__()
                events = follower.events()
    return _report_end(run, as_json)


def _report_end(run: Any, as_json: bool) -> int:
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
    message = state.message or f"The trainer of {run.id} is gone and left no word; its machine may have been switched off."
    hint = state.hint or f"`dbtui resume {run.id}` goes on from the last checkpoint; {run.log} has the details."
    show_error(DbtuiError(f"The run {state.name if state.name == 'failed' else 'is lost'}", message, hint))
    return FAILED


@cli.command()
@click.argument("run")
@click.option("--detach", is_flag=True, help="Return at once; the training goes on.")
@json_option
def resume(run: str, detach: bool, as_json: bool) -> int:
    """Take up a stopped, failed or lost RUN (its id or its concept's name) from its last checkpoint."""
    from dbtui.core.run import find_run
    from dbtui.jobs.launch import launch
    from dbtui.terminal import result, result_json

    found = find_run(run)
    state = found.state()
    if state.name == "done":
        raise UsageError(f"{found.id} is done", f"It has had its {state.step} steps.", "Start a new run with more of them.")
    pid = launch(found)
    if not detach:
        return _follow(found, as_json)
    if as_json:
        result_json({"run": found.id, "pid": pid, "path": str(found.path)})
    else:
        result(found.id)
    return DONE


@cli.command()
@click.argument("run")
@json_option
def follow(run: str, as_json: bool) -> int:
    """Watch RUN (its id or its concept's name)."""
    from dbtui.core.run import find_run

    return _follow(find_run(run), as_json)


@cli.command()
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


@cli.command()
@click.argument("concept")
@click.argument("prompt")
@click.option("--negative", default="", help="What is not wanted.")
@click.option("--rows", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--cols", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--steps", type=click.IntRange(1, 1000), default=25, show_default=True)
@click.option("--guidance", type=click.FloatRange(0, 50), default=7.5, show_default=True)
@click.option("--scheduler", default="dpm++2m-karras", show_default=True, help="Or unipc, euler, euler-a, ddim, pndm.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Of the first picture; the others count up. Random if left out.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for grid.png, 000.png, 001.png, ...")
@click.option("--overwrite", is_flag=True, help="Replace pictures that are in the folder.")
@click.option("--safety", is_flag=True, help="Black out what the model's own safety checker objects to.")
@click.option("--show", is_flag=True, help="Print the grid in the terminal.")
@json_option
def sample(
    concept: str,
    prompt: str,
    negative: str,
    rows: int,
    cols: int,
    steps: int,
    guidance: float,
    scheduler: str,
    seed: int | None,
    out: Path | None,
    overwrite: bool,
    safety: bool,
    show: bool,
    as_json: bool,
) -> int:
    """Draw PROMPT with CONCEPT (or with a base model: mini, a folder, a hub id)."""
    from dbtui.core import paths
    from dbtui.core.config import FIELDS
    from dbtui.jobs.generate import Request

    FIELDS["sampling.scheduler"].check(scheduler)
    if not prompt.strip():
        raise UsageError("The prompt is empty", "There is nothing to draw.", "dbtui sample rex 'a photo of sks dog'")
    is_concept, name = _what_draws(concept)
    folder = out.expanduser().absolute() if out else paths.pictures_dir() / name / time.strftime("%Y%m%d-%H%M%S")
    _check_out(folder, rows * cols, overwrite)
    first = seed if seed is not None else secrets.randbelow(2**32)
    request = Request(
        concept=name if is_concept else "",
        base="" if is_concept else concept,
        prompt=prompt,
        negative=negative,
        seeds=[first + i for i in range(rows * cols)],
        columns=cols,
        out=str(folder),
        steps=steps,
        guidance=guidance,
        scheduler=scheduler,
        safety=safety,
    )
    return _generate(request, show, as_json)


def _what_draws(word: str) -> tuple[bool, str]:
    """Whether ``word`` is a concept (else a base model), and its name for a folder."""
    from dbtui.core.base_model import find_model
    from dbtui.core.library import find_sound_concept
    from dbtui.core.names import slug

    try:
        return True, find_sound_concept(word).name
    except UsageError as error:
        try:
            find_model(word)
        except UsageError:
            raise error from None
        return False, slug(Path(word).name) or "model"


def _check_out(folder: Path, count: int, overwrite: bool) -> None:
    """Make the folder for pictures; what is in it is not replaced unasked. Raises UsageError."""
    from dbtui.core import paths

    names = ["grid.png", *(f"{i:03}.png" for i in range(count))]
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite:
        raise UsageError(
            "There are pictures in that folder",
            f"{folder} has {', '.join(there[:3])}{' ...' if len(there) > 3 else ''}; nothing was drawn.",
            "Name another folder, or say --overwrite.",
        )
    paths.make_private(folder)


def _generate(request: Any, show: bool, as_json: bool) -> int:
    """Draw, with progress, and say where the pictures are. Ctrl-C keeps those that are finished."""
    from rich.text import Text

    from dbtui.core import paths
    from dbtui.jobs.generate import Sampler
    from dbtui.terminal import _bar, narration, result, result_json, say

    console = narration()
    pictures: list[dict[str, Any]] = []
    done: dict[str, Any] = {}
    paths.make_private(paths.data_dir())
    with Sampler(paths.data_dir() / "sampler.log") as sampler, console.status("loading the model") as status:
        try:
            for message in sampler.ask(request):
                if message["kind"] == "progress":
                    line = f"drawing {_bar(message['done'], message['total'])} {message['done']}/{message['total']} steps"
                    status.update(Text(line))
                elif message["kind"] == "picture":
                    pictures.append({"path": message["path"], "seed": message["seed"]})
                elif message["kind"] == "done":
                    done = message
        except KeyboardInterrupt:
            say(f"Cancelled. {len(pictures)} finished pictures are in {request.out}.")
            return INTERRUPTED
    for index in done["flagged"]:
        say(f"{index:03}.png was blacked out by the safety checker.", "yellow")
    if show:
        _show(Path(done["grid"]))
    if as_json:
        result_json({"grid": done["grid"], "pictures": pictures, "prompt": request.prompt})
    else:
        result(done["grid"])
    return DONE


def _show(grid: Path) -> None:
    """The grid in half blocks, as wide as the terminal."""
    from PIL import Image

    from dbtui.core.grid import half_blocks
    from dbtui.terminal import width

    with Image.open(grid) as image:
        sys.stdout.write(half_blocks(image, min(width(), 120)) + "\n")


@cli.command()
@click.option("--subject", default="teddy-bear", show_default=True, help="Or robot, cupcake, fire-engine.")
@json_option
def demo(subject: str, as_json: bool) -> int:
    """The whole journey on the embedded model: teach it a subject, draw it on the beach."""
    from dbtui.core import paths
    from dbtui.core.fields import nearest
    from dbtui.core.presets import assemble
    from dbtui.core.run import runs
    from dbtui.core.subjects import SUBJECTS
    from dbtui.jobs.generate import Request
    from dbtui.terminal import say

    if subject not in SUBJECTS:
        near = nearest(subject, SUBJECTS)
        raise UsageError(
            f"There is no subject {subject!r}", f"The subjects are {', '.join(SUBJECTS)}.", f"Did you mean {near!r}?" if near else ""
        )
    chosen = SUBJECTS[subject]
    say(f"The embedded model has never seen this {chosen.name}. It is taught from five photos, in a minute or three.")
    config = assemble("mini", None, {"data.folder": str(chosen.folder), "concept.prompt": chosen.prompt})
    code = _train(config, detach=False, as_json=False)
    if code != DONE:
        return code
    taught = next(run.state().concept for run in runs() if run.config.data.folder == str(chosen.folder))
    prompt = f"{chosen.prompt} on the beach"
    say(f"Drawing {prompt!r}.")
    folder = paths.pictures_dir() / taught / time.strftime("%Y%m%d-%H%M%S")
    paths.make_private(folder)
    request = Request(concept=taught, prompt=prompt, seeds=list(range(6)), columns=3, out=str(folder), steps=20)
    code = _generate(request, show=not as_json, as_json=as_json)
    say(f"The concept is {taught!r} in {paths.concepts_dir()}; the pictures are in {folder}.")
    say(f"Ask it for more: dbtui sample {taught} '{chosen.prompt} in the snow' --show")
    return code


@cli.command()
@json_option
def ls(as_json: bool) -> int:
    """List the concepts, and the runs that have not become one."""
    from dbtui.core.errors import printable
    from dbtui.core.library import concepts
    from dbtui.core.run import runs
    from dbtui.core.units import format_bytes
    from dbtui.terminal import result, result_json, say

    known = concepts()
    others = [(run, state) for run in runs() if (state := run.state()).name != "done"]
    if as_json:
        result_json({"concepts": [_concept_values(c) for c in known], "runs": [_run_values(r, s) for r, s in others]})
        return DONE
    if not known and not others:
        say("Nothing is taught yet. `dbtui demo` shows how it goes; `dbtui train FOLDER` teaches your own subject.")
    for concept in known:
        if concept.problem:
            result(f"{concept.name:<20} damaged: {concept.problem}")
            continue
        date = time.strftime("%Y-%m-%d", time.localtime(concept.created))
        size = format_bytes(concept.size())
        result(f"{concept.name:<20} {date}  {concept.steps:>6} steps  {size:>8}  {printable(concept.base)}  {concept.prompt!r}")
    for run, state in others:
        result(f"{run.id:<32} {state.name} at step {state.step}")
    return DONE


def _concept_values(concept: Any) -> dict[str, Any]:
    from dataclasses import asdict

    preview = str(concept.preview) if concept.preview else ""
    return {**asdict(concept), "path": str(concept.path), "size": concept.size(), "preview": preview}


def _run_values(run: Any, state: Any) -> dict[str, Any]:
    return {"run": run.id, "state": state.name, "step": state.step, "message": state.message, "path": str(run.path)}


@cli.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> int:
    """Show all that is known of a concept, or of a run."""
    from dbtui.core.library import find_concept
    from dbtui.core.run import find_run
    from dbtui.terminal import result, result_json

    try:
        values = _concept_values(find_concept(name))
    except UsageError as error:
        try:
            run = find_run(name)
        except UsageError:
            raise error from None
        values = _run_values(run, run.state())
    if as_json:
        result_json(values)
    else:
        for key, value in values.items():
            if value not in ("", {}, 0):
                result(f"{key.replace('_', ' '):<17} {value}")
    return DONE


@cli.command()
@click.argument("name")
@click.argument("new")
@json_option
def rename(name: str, new: str, as_json: bool) -> int:
    """Give the concept NAME the name NEW."""
    from dbtui.core.library import rename_concept
    from dbtui.terminal import result, result_json

    concept = rename_concept(name, new)
    if as_json:
        result_json(_concept_values(concept))
    else:
        result(concept.name)
    return DONE


@cli.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def rm(name: str, yes: bool, as_json: bool) -> int:
    """Remove the concept NAME and the run it came from, or the run with the id NAME."""
    from dbtui.core.paths import folder_size
    from dbtui.core.library import remove_folder
    from dbtui.core.units import format_bytes
    from dbtui.terminal import ask, result, result_json, say

    folders = _what_goes(name)
    size = sum(folder_size(folder) for folder in folders)
    say(f"To be removed, {format_bytes(size)}: " + ", ".join(str(folder) for folder in folders))
    if not yes and ask("Remove for good?", {"y": "yes", "n": "no"}, "n") != "y":
        say("Nothing was removed. (Say --yes where nobody can be asked.)")
        return FAILED
    for folder in folders:
        remove_folder(folder)
    if as_json:
        result_json({"removed": [str(folder) for folder in folders]})
    else:
        result(f"Removed {name}.")
    return DONE


def _what_goes(name: str) -> list[Path]:
    """The folders behind a name. Raises UsageError if there are none or one is in use."""
    from dbtui.core import paths
    from dbtui.core.library import find_concept
    from dbtui.core.run import Run, find_run

    try:
        concept = find_concept(name)
        origin = [paths.runs_dir() / concept.run] if concept.run else []
        folders = [concept.path, *(p for p in origin if p.parent == paths.runs_dir() and p.is_dir())]
    except UsageError as error:
        try:
            folders = [find_run(name).path]
        except UsageError:
            raise error from None
    for folder in folders:
        if folder.parent == paths.runs_dir() and Run(folder).trainer() is not None:
            raise UsageError(f"{folder.name} is being trained", "Nothing was removed.", f"`dbtui stop {folder.name}` first.")
    return folders


@cli.command()
@json_option
def where(as_json: bool) -> int:
    """Print the folders in which things are kept."""
    from dbtui.core import paths
    from dbtui.terminal import result, result_json

    folders = {
        "data": paths.data_dir(),
        "concepts": paths.concepts_dir(),
        "runs": paths.runs_dir(),
        "pictures": paths.pictures_dir(),
        "cache": paths.cache_dir(),
        "mini": paths.mini_dir(),
    }
    if as_json:
        result_json({name: str(path) for name, path in folders.items()})
    else:
        for name, path in folders.items():
            result(f"{name:<9} {path}")
    return DONE
