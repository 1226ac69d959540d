"""ls, show, rename, rm, where: the library and its folders."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from dbtui.commands.options import json_option
from dbtui.core.errors import DONE, FAILED, UsageError

if TYPE_CHECKING:
    from dbtui.core.library import Concept
    from dbtui.core.run import Run, State


@click.command()
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
        result(
            f"{concept.name:<20} {date}  {concept.steps:>6} steps  {size:>8}  {printable(concept.base)}  {concept.prompt!r}"
        )
    for run, state in others:
        result(f"{run.id:<32} {state.name} at step {state.step}")
    return DONE


def _concept_values(concept: Concept) -> dict[str, Any]:
    from dataclasses import asdict

    preview = str(concept.preview) if concept.preview else ""
    return {**asdict(concept), "path": str(concept.path), "size": concept.size(), "preview": preview}


def _run_values(run: Run, state: State) -> dict[str, Any]:
    return {"run": run.id, "state": state.name, "step": state.step, "message": state.message, "path": str(run.path)}


@click.command()
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


@click.command()
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


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def rm(name: str, yes: bool, as_json: bool) -> int:
    """Remove a concept with the run it came from, or a run.

    NAME is the concept's name or the run's id. You are asked first.
    """
    from dbtui.core.paths import folder_size
    from dbtui.core.removal import folders_of, remove
    from dbtui.core.units import format_bytes
    from dbtui.terminal import ask, result, result_json, say

    what = _what(name)
    folders = folders_of(what)
    size = sum(folder_size(folder) for folder in folders)
    say(f"To be removed, {format_bytes(size)}: " + ", ".join(str(folder) for folder in folders))
    if not yes and ask("Remove for good?", {"y": "yes", "n": "no"}, "n") != "y":
        say("Nothing was removed. (Say --yes where nobody can be asked.)")
        return FAILED
    remove(what)
    if as_json:
        result_json({"removed": [str(folder) for folder in folders]})
    else:
        result(f"Removed {name}.")
    return DONE


def _what(name: str) -> Concept | Run:
    """The concept or the run that a name means. Raises UsageError if there is none."""
    from dbtui.core.library import find_concept
    from dbtui.core.run import find_run

    try:
        return find_concept(name)
    except UsageError as error:
        try:
            return find_run(name)
        except UsageError:
            raise error from None


@click.command()
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
        "config": paths.config_dir(),
        "mini": paths.mini_dir(),
    }
    if as_json:
        result_json({name: str(path) for name, path in folders.items()})
    else:
        for name, path in folders.items():
            result(f"{name:<9} {path}")
    return DONE
