"""What of a base model is still on the hub, and its download: only the files that are needed, safetensors only."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbtui.core import hub
from dbtui.core.base_model import MINI, Coming, weights_names
from dbtui.core.config import DEFAULT_MODEL
from dbtui.core.errors import DbtuiError, UsageError, printable, printable_line
from dbtui.core.hub import Facts, Listing
from dbtui.core.hub_account import endpoint
from dbtui.core.hub_cache import Snapshot, cache_root, cached_models, find_snapshot, is_id, is_offline
from dbtui.core.hub_errors import UnseenError
from dbtui.core.model_folder import COMPONENTS, LARGEST_CONFIG, LARGEST_TOKENIZER, check_index, read_configs, read_json
from dbtui.core.model_folder import TOKENIZERS as WHOLE_TOKENIZERS
from dbtui.core.receive import LONG_DELAYS, Listener, Receiver, patiently
from dbtui.core.units import format_bytes, plural
from dbtui.core.weights import free_space

INDEX = "model_index.json"
CONFIGS = (*(f"{part}/config.json" for part in COMPONENTS), "scheduler/scheduler_config.json")
TOKENIZERS = [[f"tokenizer/{name}" for name in names] for names in WHOLE_TOKENIZERS]
TOKENIZER_FILES = {file for files in TOKENIZERS for file in files} | {
    f"tokenizer/{name}.json" for name in ("tokenizer_config", "special_tokens_map", "added_tokens")
}
SAFETY = "safety_checker"
SAFETY_FILES = (f"{SAFETY}/config.json", "feature_extractor/preprocessor_config.json")

ASKING = "asking the hub"
"""The phase before the gigabytes."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A weights file that is still on the hub, or a part of it."""

    part: str
    file: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class Plan:
    """The weights that are to be fetched; everything else of the model is here."""

    listing: Listing
    snapshot: Snapshot
    weights: tuple[Remote, ...]

    @property
    def size(self) -> int:
        """Bytes of all files, as far as the hub tells."""
        return sum(remote.facts.size or 0 for remote in self.weights)

    @property
    def arrived(self) -> int:
        """Bytes that an earlier download left here."""
        partials = (self.snapshot.partial(remote.file, remote.facts.digest) for remote in self.weights)
        return sum(partial.stat().st_size for partial in partials if partial.is_file())

    def coming(self) -> dict[str, Coming]:
        """The components that are not here, as ``find_model`` wants them."""
        return {
            remote.part: Coming(self.snapshot.path / remote.file, (remote.facts.size or 0) // self._width(remote))
            for remote in self.weights
            if remote.part in COMPONENTS
        }

    def _width(self, remote: Remote) -> int:
        """Bytes of a parameter, by the words of the file's name and the configs."""
        config = read_json(self.snapshot.path / "text_encoder" / "config.json")
        kind = str(config.get("dtype") or config.get("torch_dtype"))
        return 2 if ".fp16." in remote.file or kind.endswith("float16") else 4

    def words(self) -> str:
        """What will be fetched, in a sentence."""
        here = f", of which {format_bytes(self.arrived)} are here" if self.arrived else ""
        half = [remote.part for remote in self.weights if ".fp16." in remote.file]
        precision = f" {', '.join(half)}: only half precision (fp16) is offered." if half else ""
        untold = any(remote.facts.size is None for remote in self.weights)
        size = f"{'at least ' if untold else ''}{format_bytes(self.size)}" if self.size else "of unknown size"
        return (
            f"{self.snapshot.name} is not on this machine yet: {plural(len(self.weights), 'file')}, "
            f"{size}{here}, from {endpoint()} into {cache_root()}, "
            f"where {format_bytes(free_space(cache_root()))} are free.{precision}"
        )


def is_missing(name: str, safety: bool = False) -> bool:
    """Whether ``name`` is a model of the hub of which something is not on this machine. Asks nobody.

    ``safety`` counts the model's safety checker in. Raises DbtuiError if what is here is damaged.
    """
    if name == MINI or not is_id(name) or os.path.exists(os.path.expanduser(name)):
        return False
    folder = find_snapshot(name)
    return folder is None or not _is_whole(folder, safety)


def plan_missing(name: str, listener: Listener, safety: bool = False) -> Plan | None:
    """What is to be downloaded before the model ``name`` can be used; None if all of it is here.

    Raises DbtuiError as ``make_plan``, and UsageError where the hub may not be asked.
    """
    if not is_missing(name, safety):
        return None
    if is_offline():
        raise offline_refusal(name)
    return make_plan(name, listener, safety)


def offline_refusal(name: str) -> UsageError:
    """The error for a model that is missing where the hub may not be asked."""
    default = "" if name != DEFAULT_MODEL else " It is the default; name another with --model."
    return UsageError(
        f"The model {name} is not on this machine",
        f"The hub's cache has not all of it, and --offline or HF_HUB_OFFLINE forbids to download it.{default}",
        "Leave that out to download it, or try --model mini, which is always there.",
    )


def make_plan(name: str, listener: Listener, safety: bool = False) -> Plan:
    """Fetch the small files of the model ``name``, check its family, and see which weights are to come.

    Raises DbtuiError for a model that cannot be had or used, and if its weights do not fit on the disk.
    """
    listener.progress(ASKING, 0, 0)
    try:
        listing = patiently(lambda: hub.list_files(name), ASKING, listener)
    except (UsageError, UnseenError) as error:
        raise _with_nearest(error, name) from None
    snapshot = Snapshot(name, listing.commit)
    receiver = Receiver(snapshot, listing, listener)
    if INDEX not in listing.files:
        raise _refuse(name, f"It has no {INDEX}", listing, "", "Models in diffusers layout are read.")
    receiver.receive(INDEX, Facts(), INDEX, LARGEST_CONFIG)
    index = read_json(snapshot.path / INDEX)
    check_index(name, index)
    chosen = {part: _choose(name, listing, part) for part in COMPONENTS}
    small = [*CONFIGS, *sorted(TOKENIZER_FILES & listing.files)]
    if safety and _has_safety(index):
        chosen[SAFETY] = _choose(name, listing, SAFETY)
        small += SAFETY_FILES
    if not any(listing.files.issuperset(files) for files in TOKENIZERS):
        raise _refuse(name, "It has no tokenizer", listing, "tokenizer", "Its owner has to add one.")
    for file in small:
        if file not in listing.files:
            raise _refuse(name, f"It has no {file}", listing, file.split("/")[0], "Its owner has to add it.")
        receiver.receive(file, Facts(), file, LARGEST_TOKENIZER if file in TOKENIZER_FILES else LARGEST_CONFIG)
    read_configs(snapshot.path)
    snapshot.make_current()
    plan = Plan(listing, snapshot, tuple(_look(receiver, part, file) for part, file in chosen.items()))
    plan = Plan(listing, snapshot, tuple(remote for remote in plan.weights if not snapshot.has(remote.file)))
    _check_disk(plan)
    return plan


def fetch(plan: Plan, listener: Listener) -> None:
    """Download the weights of ``plan``; goes on where an earlier download ended. Raises DbtuiError."""
    receiver = Receiver(plan.snapshot, plan.listing, listener, LONG_DELAYS)
    for number, remote in enumerate(plan.weights, 1):
        what = f"{remote.part.replace('_', ' ')} ({number}/{len(plan.weights)})"
        receiver.receive(remote.file, remote.facts, what)


def _is_whole(folder: Path, safety: bool) -> bool:
    """Whether the folder has every file that is needed. What is in them, ``find_model`` looks at."""

    def has(*files: str) -> bool:
        return all((folder / file).is_file() for file in files)

    parts = [*COMPONENTS]
    if not has(INDEX, *CONFIGS) or not any(has(*files) for files in TOKENIZERS):
        return False
    if safety:
        wanted = _has_safety(read_json(folder / INDEX))
        if wanted and not has(*SAFETY_FILES):
            return False
        parts += [SAFETY] if wanted else []
    return all(any(has(file) for file in _candidates(part)) for part in parts)


def _has_safety(index: Mapping[str, Any]) -> bool:
    entry = index.get(SAFETY)
    return isinstance(entry, list) and any(entry)


def _candidates(part: str) -> list[str]:
    """Where the weights of a part can be, best first: full precision, since training starts from it."""
    names = weights_names(COMPONENTS[part][2] if part in COMPONENTS else "model")
    return [f"{part}/{name}" for name in names]


def _choose(name: str, listing: Listing, part: str) -> str:
    for file in _candidates(part):
        if file in listing.files:
            return file
    hint = "Only single safetensors files are read, since the older formats can run code."
    raise _refuse(name, f"Its {part} has no {_candidates(part)[0].split('/')[1]}", listing, part, hint)


def _look(receiver: Receiver, part: str, file: str) -> Remote:
    """What the hub says of a weights file; one that is here under another version is taken from there."""
    snapshot, listing = receiver.snapshot, receiver.listing
    if snapshot.has(file):
        return Remote(part, file, Facts())
    facts = patiently(lambda: hub.look(snapshot.name, file, listing.revisions), ASKING, receiver.listener)
    if blob := snapshot.blob(facts.digest, facts.size):
        snapshot.add(file, blob)
    return Remote(part, file, facts)


def _refuse(name: str, what: str, listing: Listing, folder: str, hint: str) -> DbtuiError:
    inside = folder and f"{folder}/"
    others = sorted(f.removeprefix(inside) for f in listing.files if f.startswith(inside))
    weights = [f for f in others if f.endswith((".bin", ".ckpt", ".pt", ".safetensors", ".json"))][:6]
    found = f"It has {printable_line(', '.join(weights))}." if weights else "There is nothing of the kind."
    return DbtuiError("This model cannot be used", f"{name}: {what}. {found} No weights were downloaded.", hint)


def _with_nearest(error: DbtuiError, name: str) -> DbtuiError:
    near = difflib.get_close_matches(name, {DEFAULT_MODEL, *cached_models()} - {name}, 1, 0.6)
    hint = f"Did you mean {near[0]}? {error.hint}" if near else error.hint
    return type(error)(error.title, error.message, hint)


def _check_disk(plan: Plan) -> None:
    needed, free = plan.size - plan.arrived, free_space(cache_root())
    if needed > free:
        raise DbtuiError(
            "The disk is too full",
            f"{plan.snapshot.name} needs {format_bytes(needed)} in {printable(cache_root())}, "
            f"which has {format_bytes(free)} left. No weights were downloaded.",
            "Make room, or set HF_HOME to another disk.",
        )
