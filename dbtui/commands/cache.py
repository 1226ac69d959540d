"""cache: what is kept only to save time, and its pruning."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dbtui.commands.options import json_option
from dbtui.core.errors import DONE, FAILED, UsageError

if TYPE_CHECKING:
    from dbtui.core.cache import Entry

Number = TypeVar("Number", int, float)


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def cache(context: click.Context, as_json: bool) -> int:
    """List what is kept only to save time; prune removes it.

    These are class pictures, encoded pictures and models from the hub: they can be made or downloaded again.
    """
    from dbtui.core import paths
    from dbtui.core.cache import entries
    from dbtui.core.units import format_bytes
    from dbtui.terminal import result, result_json, say

    if context.invoked_subcommand is not None:
        return DONE
    found = entries()
    size = sum(entry.size for entry in found)
    if as_json:
        result_json({"path": str(paths.cache_dir()), "size": size, "entries": [_values(entry) for entry in found]})
        return DONE
    for line in _table(found):
        result(line)
    result(f"{'in all':<10} {format_bytes(size):>8}  in {paths.cache_dir()}{_hub_place(found)}")
    if found:
        say("`dbtui cache prune --older-than 30d` removes what was not used for that long.", "dim")
    return DONE


@cache.command()
@click.option("--older-than", metavar="AGE", help="What was not used for so long: 12h, 30d, 2w.")
@click.option("--to-size", metavar="SIZE", help="The longest unused, until the rest is no more than this: 500MB, 5GB.")
@click.option(
    "--kind", "kinds", metavar="KINDS", help="Of class, latents, hashes, unfinished, hub; all but hub if left out."
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def prune(
    older_than: str | None, to_size: str | None, kinds: str | None, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Remove what can be made or downloaded again, by age or size.

    You are asked first, and what a live run uses stays.
    """
    from dbtui.core.cache import choose, entries
    from dbtui.core.units import format_bytes, parse_age, parse_bytes, plural
    from dbtui.terminal import ask, result, result_json, say

    if not (older_than or to_size or kinds):
        raise UsageError("Prune what?", "Nothing was removed.", "dbtui cache prune --older-than 30d, or --to-size 5GB.")
    age = _parsed(older_than, parse_age, "--older-than", "30d, 12h or 2w")
    most = _parsed(to_size, parse_bytes, "--to-size", "500MB or 5GB")
    found = entries(_kinds(kinds))
    chosen = choose(found, age, most)
    size = sum(entry.size for entry in chosen)
    for line in _table(chosen):
        say(line)
    kept = [entry for entry in found if entry.in_use]
    if kept:
        say(f"Kept, since a live run may be using it: {plural(len(kept), 'part')} of the cache.", "yellow")
    agreed = bool(chosen) and not dry_run and (yes or _agreed(chosen, size, ask))
    failed = _remove(chosen) if agreed else []
    removed = [entry for entry in chosen if agreed and entry not in failed]
    freed = format_bytes(sum(entry.size for entry in removed))
    if as_json:
        result_json({"removed": [_values(e) for e in removed], "chosen": [_values(e) for e in chosen]})
    elif not chosen:
        result("There is nothing to remove.")
    elif dry_run:
        result(f"{format_bytes(size)} would be removed.")
    elif agreed:
        result(f"Removed {freed}.")
    else:
        say("Nothing was removed. (Say --yes where nobody can be asked.)")
    return DONE if not failed and (agreed or dry_run or not chosen) else FAILED


def _agreed(chosen: Sequence[Entry], size: int, ask: Callable[[str, dict[str, str], str], str]) -> bool:
    from dbtui.core.cache import HUB
    from dbtui.core.units import format_bytes
    from dbtui.terminal import say

    if any(entry.kind == HUB for entry in chosen):
        say("Models from the hub are shared with other programs, which would have to download them again.", "yellow")
    return ask(f"Remove {format_bytes(size)}?", {"y": "yes", "n": "no"}, "n") == "y"


def _remove(chosen: Sequence[Entry]) -> list[Entry]:
    """Remove them, and return those that could not be; each is named."""
    from dbtui.core.cache import remove
    from dbtui.terminal import say

    failed = []
    for entry in chosen:
        try:
            remove(entry)
        except FileNotFoundError:
            continue  # somebody else was faster
        except (OSError, ValueError) as error:
            say(f"Not removed: {error}", "yellow")
            failed.append(entry)
    return failed


def _kinds(words: str | None) -> list[str]:
    """The kinds that a person named; all that are dbtui's alone if none was. Raises UsageError."""
    from dbtui.core.cache import HUB, KINDS
    from dbtui.core.fields import nearest

    if words is None:
        return [kind for kind in KINDS if kind != HUB]
    named = [word.strip() for word in words.split(",") if word.strip()]
    for word in named:
        if word not in KINDS:
            near = nearest(word, KINDS)
            raise UsageError(
                f"The cache has no kind {word!r}",
                f"The kinds are {', '.join(KINDS)}.",
                f"Did you mean {near!r}?" if near else "",
            )
    return named


def _parsed(text: str | None, parse: Callable[[str], Number], option: str, examples: str) -> Number | None:
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise UsageError(f"{option} cannot be {text!r}", "Nothing was removed.", f"Say {examples}.") from error


def _values(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "path": str(entry.path)}


def _table(found: Sequence[Entry]) -> list[str]:
    """A line for each folder of class pictures and each model, the largest first; one for all entries of other kinds."""
    from dbtui.core.cache import OWN
    from dbtui.core.units import format_bytes

    rows: list[tuple[str, int, float, str]] = []
    for kind in dict.fromkeys(entry.kind for entry in found):
        those = [entry for entry in found if entry.kind == kind]
        if kind in ("class", "hub"):
            rows += [(e.kind, e.size, e.used, e.what) for e in those]
        else:
            size, used = sum(e.size for e in those), max(e.used for e in those)
            rows.append((kind, size, used, f"{len(those)} {OWN[kind].label}"))
    rows.sort(key=lambda row: -row[1])
    return [
        f"{kind:<10} {format_bytes(size):>8}  {time.strftime('%Y-%m-%d %H:%M', time.localtime(used))}  {what}"
        for kind, size, used, what in rows
    ]


def _hub_place(found: Sequence[Entry]) -> str:
    """Where the hub's part of the cache is, as the end of a sentence."""
    places = {str(entry.path.parent) for entry in found if entry.kind == "hub"}
    return f" and {', '.join(sorted(places))}" if places else ""
