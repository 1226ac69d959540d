"""Where a concept is exported to, in which format, and whether that can be, before anything is loaded."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from dbtui.core import paths
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.library import Concept, concepts, find_base, find_sound_concept
from dbtui.core.names import free_name
from dbtui.core.recipe import MARK
from dbtui.core.units import format_bytes
from dbtui.core.weights import free_space, read_metadata

FORMATS = {"diffusers": "", "safetensors": ".safetensors", "ckpt": ".ckpt"}
"""The suffix of each format; diffusers is a folder."""

FOREIGN = (".bin", ".gguf", ".onnx", ".pickle", ".pkl", ".pt", ".pth", ".zip")
"""Suffixes of formats that are not written; a folder of such a name would be taken for a file."""

CARD = "dbtui.json"
"""In an exported folder: the recipe, and the names of all files that belong to the export."""

MARGIN = 1.05
"""What an export takes beyond its weights: headers, the tokenizer, the file system's own."""


LONGEST_NAME = 230
"""Bytes; file systems take 255, and while it is written its name is a little longer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What is to be exported to where. ``half`` is 16 bit; ``overwrite`` replaces an earlier export."""

    concept: str
    destination: str
    format: str
    half: bool = False
    overwrite: bool = False

    @property
    def path(self) -> Path:
        return Path(self.destination)

    @property
    def is_folder(self) -> bool:
        return not FORMATS[self.format]


def make_order(
    concept: str, destination: str, format: str = "", half: bool = False, overwrite: bool = False
) -> tuple[Order, int]:
    """The order that can be carried out, and the bytes it takes. Touches nothing.

    ``format`` may be left out: it is told by the destination's suffix, else it is diffusers. Raises UsageError
    for a destination that cannot be, DbtuiError if the disk has no room or the concept or its base is damaged.
    """
    entry = find_sound_concept(concept)
    destination = _with_small_suffix(destination)
    format = format or next((name for name, end in FORMATS.items() if end and destination.endswith(end)), "diffusers")
    path = _resolve(entry, destination, format)
    _check_place(path)
    _check_taken(entry, path, format, overwrite)
    parameters = sum(find_base(entry).parameters.values())
    size = round(parameters * (2 if half else 4) * MARGIN)
    free = free_space(path.parent)
    if size > free:
        raise DbtuiError(
            "There is not enough room",
            f"The export takes {format_bytes(size)} and {printable(path.parent)} has {format_bytes(free)} free. "
            "Nothing was written.",
            "Make room or name another disk."
            if half
            else "Make room, name another disk, or say --half for half the size.",
        )
    return Order(concept=entry.name, destination=str(path), format=format, half=half, overwrite=overwrite), size


def free_destination(concept: str) -> str:
    """A place for a folder that nothing has: ``~/rex``, in the working folder where home cannot be written."""
    home = Path.home()
    folder, shown = (home, "~") if os.access(home, os.W_OK | os.X_OK) else (Path.cwd(), str(Path.cwd()))
    taken = {name.removesuffix(end) for name in os.listdir(folder) for end in FORMATS.values()}
    return os.path.join(shown, free_name(concept, taken.__contains__))


def with_suffix(destination: str, format: str) -> str:
    """``destination`` as it is named in ``format``: ``~/rex.ckpt`` as a folder is ``~/rex``."""
    for suffix in FORMATS.values():
        destination = destination.removesuffix(suffix)
    return destination + FORMATS[format] if destination and not destination.endswith(os.sep) else destination


def _with_small_suffix(destination: str) -> str:
    """``REX.CKPT`` as ``REX.ckpt``: programs tell the format by the suffix, and few in capitals."""
    end = next((end for end in FORMATS.values() if end and destination.lower().endswith(end)), "")
    return destination[: len(destination) - len(end)] + end


def _resolve(concept: Concept, destination: str, format: str) -> Path:
    """The absolute path to write to, links followed. Raises UsageError."""
    suffix = FORMATS[format]
    if not destination.strip() or "\0" in destination:
        raise UsageError(
            "Export to where?", "No destination was named.", f"dbtui export {concept.name} ~/{concept.name}"
        )
    other = next((end for end in FORMATS.values() if end and destination.endswith(end) and end != suffix), "")
    if other:
        raise UsageError(
            "The destination and the format do not fit",
            f"{printable(destination)} ends in {other} and the format is {format}.",
            f"Leave out --format, or name a {'file that ends in ' + suffix if suffix else 'folder'}.",
        )
    if not suffix and destination.lower().endswith(FOREIGN):
        raise UsageError(
            "That is not a format that is written",
            f"{printable(destination)} ends in {printable(Path(destination).suffix)}. Nothing was written.",
            "Name a file that ends in .safetensors or .ckpt, or a folder.",
        )
    if any("\ud800" <= c <= "\udfff" for c in str(paths.expand(destination).absolute())):
        raise UsageError(
            "The name is no text",
            f"{printable(destination)} has bytes that are not UTF-8, and most programs could not open it.",
            "Name another place.",
        )
    path = paths.expand(destination)
    if suffix and (path.is_dir() or destination.endswith(os.sep)):
        path = path / f"{concept.name}{suffix}"
    elif suffix and not destination.endswith(suffix):
        path = path.with_name(path.name + suffix)
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise UsageError("The destination cannot be", f"{printable(path)}: {printable(error)}.") from error


def _check_place(path: Path) -> None:
    """Raise UsageError unless a file or folder can be made at ``path``, outside what dbtui keeps for itself."""
    for own in (paths.data_dir(), paths.cache_dir(), paths.config_dir(), paths.mini_dir()):
        if path.is_relative_to(own.resolve()):
            raise UsageError(
                "That is dbtui's own folder",
                f"{printable(path)} is inside {printable(own)}, where an export would be taken for something else.",
                "Name a place outside it.",
            )
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise UsageError(
            "The name is too long", f"A name of at most {LONGEST_NAME} bytes can be written.", "Choose a shorter one."
        )
    parent = path.parent
    if not parent.is_dir():
        what = "is not a folder" if parent.exists() else "does not exist"
        raise UsageError(
            "There is no such folder", f"{printable(parent)} {what}.", "Make it first, or name another destination."
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(
            "The destination cannot be written", f"{printable(parent)} is not writable.", "Name another place."
        )


def _check_taken(concept: Concept, path: Path, format: str, overwrite: bool) -> None:
    """Raise UsageError if something is there that is not to be replaced; only an export ever is."""
    if not path.exists() or (not FORMATS[format] and path.is_dir() and not any(path.iterdir())):
        return
    resting = [each.name for each in concepts() if os.path.realpath(each.base) == str(path)]
    if resting:
        raise UsageError(
            "The destination is a base model",
            f"{printable(', '.join(resting))} was taught on {printable(path)} and needs it as it is. "
            "It was left as it is.",
            f"Name a new one: {printable(path.with_stem(path.stem + '-2'))}",
        )
    problem = not_an_export(path, format)
    if problem:
        raise UsageError(
            "The destination is taken",
            f"{printable(path)} {problem}. It was left as it is.",
            f"Name a new one: {printable(path / concept.name if path.is_dir() else path.with_stem(path.stem + '-2'))}",
        )
    if not overwrite:
        raise UsageError(
            "The destination is taken",
            f"{printable(path)} is an earlier export. It was left as it is.",
            "Say --overwrite to replace it, or name another.",
        )


def not_an_export(path: Path, format: str) -> str:
    """Why ``path`` must not be replaced: what it is instead of an export in ``format``; ``""`` if it is one."""
    if not path.is_dir() and not path.is_file():
        return "is no regular file"
    if path.is_dir() != (format == "diffusers"):
        return "is a folder" if path.is_dir() else "is a file"
    if format == "diffusers":
        return _not_a_folder_of_ours(path)
    if format == "safetensors":
        return "" if MARK in read_metadata(path) else "is not an export of dbtui"
    return "" if _is_our_ckpt(path) else "is not an export of dbtui"


def _not_a_folder_of_ours(folder: Path) -> str:
    try:
        ours = set(json.loads((folder / CARD).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "is a folder that dbtui did not make"
    others = sorted(files_in(folder) - ours)
    return f"has files that are not of the export: {printable(', '.join(others[:3]))}" if others else ""


def files_in(folder: Path) -> set[str]:
    """The paths of all files below ``folder``, relative to it, with slashes."""
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_symlink() or not file.is_dir()}


def _is_our_ckpt(file: Path) -> bool:
    """Whether torch's archive has our mark among its names; nothing in it is unpickled."""
    try:
        with zipfile.ZipFile(file) as archive:
            pickles = [entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl")]
            return any(entry.file_size < 16 << 20 and MARK.encode() in archive.read(entry) for entry in pickles)
    except (OSError, ValueError, NotImplementedError, EOFError, zipfile.BadZipFile):
        return False
