"""train: from photos to a run."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbtui.commands.options import json_option, offline_option
from dbtui.commands.watch import follow_to_end, hand_over
from dbtui.core.errors import DONE, UsageError, printable_line

if TYPE_CHECKING:
    from dbtui.core.config import Config
    from dbtui.core.fields import Value
    from dbtui.core.run import Run
    from dbtui.core.web import Arrival
    from dbtui.jobs.begin import Checked

Command = Callable[..., Any]


def training_options(command: Command) -> Command:
    """The options that make up a config."""
    options = [
        click.option(
            "--url", "urls", multiple=True, help="A photo's web address, instead of FOLDER; once for each photo."
        ),
        click.option("--allow-private", is_flag=True, help="Let --url reach servers in private networks."),
        click.option("--name", default="", help="The concept's name; made from the folder's if left out."),
        click.option("--prompt", help="Describes the photos, with a rare word: 'a photo of sks dog'."),
        click.option("--class-prompt", help="Turns on prior preservation: 'a photo of a dog'."),
        click.option(
            "--model",
            help="What is taught: mini, a folder, a .safetensors or .ckpt file, or a hub id; Stable Diffusion 1.5 if left out.",
        ),
        offline_option,
        click.option(
            "--preset", default="", help="Parameters that fit together: balanced (default), tutorial, low-vram or mini."
        ),
        click.option(
            "--config",
            "file",
            type=click.Path(path_type=Path),
            help="A TOML file with parameters, as --print-config prints it.",
        ),
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="SECTION.FIELD=VALUE",
            help="Set one parameter; --parameters lists them.",
        ),
        click.option(
            "--track", metavar="TRACKER", help="Also tell tensorboard, wandb or trackio of losses and samples."
        ),
        click.option("--detach", is_flag=True, help="Return at once; the training goes on."),
        click.option("--estimate", is_flag=True, help="Print the memory, disk and time it needs and do nothing."),
        click.option("--print-config", is_flag=True, help="Print the config as TOML and do nothing."),
        click.option("--parameters", is_flag=True, help="Print every parameter with its meaning and do nothing."),
    ]
    return functools.reduce(lambda f, option: option(f), reversed(options), command)


@click.command()
@click.argument("folder", required=False)
@training_options
@json_option
def train(
    folder: str | None,
    urls: tuple[str, ...],
    allow_private: bool,
    name: str,
    prompt: str | None,
    class_prompt: str | None,
    model: str | None,
    preset: str,
    file: Path | None,
    assignments: tuple[str, ...],
    track: str | None,
    detach: bool,
    estimate: bool,
    print_config: bool,
    parameters: bool,
    as_json: bool,
) -> int:
    """Teach the subject of a few photos, and follow the training.

    FOLDER has 3 to 10 photos. --prompt describes them with a rare word for your subject and the plain word for its kind;
    --class-prompt is the same without the rare word, and keeps other dogs from becoming yours:

    \b
        dbtui train photos/ --name rex --prompt "a photo of sks dog" \\
            --class-prompt "a photo of a dog"

    Nothing else needs to be chosen. The training goes on when the terminal closes.
    """
    from dbtui.core.config import parse_assignment
    from dbtui.core.presets import assemble

    if parameters:
        return _print_parameters()
    if folder and urls:
        raise UsageError(
            "A folder and web addresses",
            "The photos come from the one or the other; nothing was downloaded.",
            "Leave out FOLDER, or download the pictures into it.",
        )
    if folder and folder.startswith(("http://", "https://")):
        raise UsageError(f"{folder} is a web address", "A folder is meant there.", f"dbtui train --url {folder}")
    flags: dict[str, Value | None] = {
        # Where one is named, the other that a config may have is not meant.
        "data.folder": "" if urls else folder,
        "data.urls": [] if folder else list(urls) or None,
        "concept.name": name or None,
        "concept.prompt": prompt,
        "prior.class_prompt": class_prompt,
        "prior.enabled": True if class_prompt is not None else None,
        "model.base": model,
        "training.track": track,
    }
    changes = {key: value for key, value in flags.items() if value is not None}
    changes.update(dict(parse_assignment(a) for a in assignments))
    config = assemble(preset, file, changes)
    if print_config:
        sys.stdout.write(config.to_toml())
        return DONE
    if estimate:
        from dbtui.commands.estimate import show_estimate

        with _checking(config, allow_private) as checked:
            return show_estimate(checked, as_json)
    run = begin_run(config, allow_private)
    return hand_over(run, as_json) if detach else follow_to_end(run, as_json)


def begin_run(config: Config, allow_private: bool = False) -> Run:
    """Say what is about to be taught, and start its trainer. Raises DbtuiError for what is wrong with it.

    ``allow_private``: whether ``data.urls`` may lead into private networks.
    """
    from dbtui.commands.fetch import agree_to
    from dbtui.jobs.begin import begin
    from dbtui.jobs.launch import launch

    with _checking(config, allow_private) as checked:
        _describe(checked)
        if checked.missing and checked.missing.weights:
            agree_to(checked.missing)
        run = begin(checked)
    launch(run)
    return run


@contextlib.contextmanager
def _checking(config: Config, allow_private: bool) -> Iterator[Checked]:
    """What a run of ``config`` can begin with; downloaded photos are there until the block ends."""
    from dbtui.commands.fetch import plan_in_view
    from dbtui.core.paths import scratch_folder
    from dbtui.jobs.begin import check

    with contextlib.ExitStack() as until_begun:

        def download(urls: list[str]) -> Path:
            from dbtui.core.web import fetch_pictures

            folder = until_begun.enter_context(scratch_folder()) / "photos"
            fetch_pictures(urls, folder, allow_private, _count_bytes)
            return folder

        yield check(config, _count_pictures, download, plan_in_view)


def _count_pictures(done: int, total: int) -> None:
    from dbtui.terminal import narration

    console = narration()
    if console.is_terminal and total > 1:
        console.print(f"looking at picture {done}/{total}", end="\r" if done < total else "\n")


def _count_bytes(arrival: Arrival) -> None:
    from dbtui.core.units import format_bytes
    from dbtui.terminal import narration

    console = narration()
    if console.is_terminal or arrival.whole:
        total = f" of {format_bytes(arrival.total)}" if arrival.total else ""
        line = f"downloading picture {arrival.number}/{arrival.count}: {format_bytes(arrival.received)}{total}"
        console.print(f"{line:<60}" if console.is_terminal else line, end="\n" if arrival.whole else "\r")


def _describe(checked: Checked) -> None:
    """What is about to be done, in the words of the report."""
    from dbtui.core.config import ConceptConfig
    from dbtui.core.units import plural
    from dbtui.terminal import say

    config, report = checked.config, checked.report
    say(f"Teaching {config.concept.name!r}: {config.concept.prompt!r}, on {checked.base.name} ({checked.base.family}).")
    if config.concept.prompt == ConceptConfig().prompt:
        say("No --prompt was given. A word for the kind teaches better: --prompt 'a photo of sks dog'.", "yellow")
    source = "the web" if checked.downloaded else report.folder
    say(f"{plural(len(report.pictures), 'photo')} at {config.data.resolution} px from {source}.")
    if checked.downloaded and len(set(config.data.urls)) < len(config.data.urls):
        say("Note: an address that was given more than once was downloaded once.", "yellow")
    training = config.training
    if training.processes != 1:
        each = plural(training.batch_size * training.accumulation, "photo")
        say(f"{training.processes} processes with {each} each: every step learns from {training.photos_per_step}.")
    for skipped in report.skipped:
        say(f"Not used: {printable_line(skipped.path.name)}: {skipped.reason}.", "yellow")
    for warning in (*checked.base.notices, *report.warnings):
        say(f"Note: {warning}.", "yellow")
    say(f"It needs {checked.forecast.words()}.")


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
