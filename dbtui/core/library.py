"""The library of concepts: what was taught, kept for good."""

from __future__ import annotations

import contextlib
import os
import shutil
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import tomli_w

from dbtui.core import paths
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.fields import AUTO, nearest
from dbtui.core.names import check_name

if TYPE_CHECKING:
    from dbtui.core.base_model import BaseModel

VERSION = 1

KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "dict[str, str]": (dict,)}
"""What a value in ``concept.toml`` may be, by the declared type."""


@dataclass(frozen=True, kw_only=True)
class Concept:
    """A taught concept. ``trained`` maps a component (``unet``) to the hash of its weights file."""

    name: str
    prompt: str = ""
    class_prompt: str = ""
    base: str = ""
    base_fingerprint: str = ""
    family: str = ""
    prediction: str = AUTO
    resolution: int = 0
    steps: int = 0
    learning_rate: float = 0.0
    seed: int = 0
    run: str = ""
    created: float = 0.0
    trained: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    """Why the entry cannot be used; empty for a sound one."""

    @property
    def path(self) -> Path:
        return paths.concepts_dir() / self.name

    @property
    def preview(self) -> Path | None:
        """The newest grid made while it was taught."""
        grids = sorted((self.path / "preview").glob("*.png"))
        return grids[-1] if grids else None

    def weights(self, component: str) -> Path:
        """The trained weights of ``unet`` or ``text_encoder``."""
        return self.path / component / "weights.safetensors"

    def size(self) -> int:
        """Bytes on disk."""
        return paths.folder_size(self.path)

    def to_toml(self) -> str:
        """The content of ``concept.toml``; the name is the folder's and not kept twice."""
        values = {k: v for k, v in asdict(self).items() if k not in ("name", "problem")}
        return tomli_w.dumps({"version": VERSION, **values})


def concept_folders() -> list[Path]:
    """The folders of the library's entries by name, sound or not. Raises OSError."""
    folder = paths.concepts_dir()
    if not folder.is_dir():
        return []
    with os.scandir(folder) as found:  # which tells what is a folder without a look at each
        return sorted(Path(entry.path) for entry in found if entry.is_dir() and not entry.name.startswith("."))


def concepts() -> list[Concept]:
    """All concepts by name; a damaged entry is there with its problem and hides no other."""
    return [read_concept(folder) for folder in concept_folders()]


def read_concept(folder: Path) -> Concept:
    """The concept in ``folder``; never raises for what is in the file."""
    try:
        values: dict[str, Any] = tomllib.loads((folder / "concept.toml").read_text(encoding="utf-8"))
        if values.pop("version", None) != VERSION:
            return Concept(name=folder.name, problem="made by another version of this program")
        concept = Concept(name=folder.name, **values)
        for part in fields(concept):
            if not isinstance(getattr(concept, part.name), KINDS[str(part.type)]):
                raise TypeError(f"{part.name} is not {part.type}")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        return Concept(name=folder.name, problem=f"concept.toml: {printable(error)}")
    missing = [part for part in concept.trained if not concept.weights(part).is_file()]
    if missing or not concept.trained:
        return Concept(name=folder.name, problem=f"weights are missing: {', '.join(missing) or 'all'}")
    return concept


def exists(name: str) -> bool:
    """Whether the library has an entry ``name``, sound or not."""
    return (paths.concepts_dir() / name).exists()


def find_concept(name: str) -> Concept:
    """The concept called ``name``. Raises UsageError with the nearest name, DbtuiError if it is damaged."""
    known = [c.name for c in concepts()]
    try:
        wanted = name if name in known else check_name(name)
    except UsageError:
        wanted = ""
    if wanted not in known:
        near = nearest(name, known)
        hint = f"Did you mean {near!r}?" if near else "See `dbtui ls`." if known else "Teach one: `dbtui demo`."
        raise UsageError(f"There is no concept {printable(name)!r}", "The library has no entry of that name.", hint)
    return read_concept(paths.concepts_dir() / wanted)


def find_sound_concept(name: str) -> Concept:
    """As find_concept, for use. Raises DbtuiError if the entry is damaged."""
    concept = find_concept(name)
    if concept.problem:
        raise DbtuiError(
            f"The concept {concept.name!r} is damaged",
            f"{concept.problem}. Its files were left as they are, in {concept.path}.",
            f"Remove it with `dbtui rm {concept.name}`, and teach it again.",
        )
    return concept


class Taught(Protocol):
    """What was taught on a base model: a concept, or a source of pictures."""

    @property
    def name(self) -> str: ...
    @property
    def base(self) -> str: ...
    @property
    def base_fingerprint(self) -> str: ...
    @property
    def prediction(self) -> str: ...


def find_base(concept: Taught) -> BaseModel:
    """The model that the concept was taught on. Raises DbtuiError if it is gone, and as ``base_model.find_model``."""
    from dbtui.core.base_model import find_model

    try:
        return find_model(concept.base, prediction=concept.prediction)
    except UsageError as error:
        if not os.path.isabs(concept.base) or os.path.exists(concept.base):
            raise
        raise DbtuiError(
            f"The base model of {concept.name!r} is gone",
            f"It was taught on {printable(concept.base)}, which is not there any more. The concept is as it was.",
            "Put the model back, or a link to where it is now.",
        ) from error


def check_base(concept: Taught, base: BaseModel) -> None:
    """Raise DbtuiError unless ``base`` is the model that the concept was taught on."""
    if concept.base_fingerprint != base.fingerprint():
        raise DbtuiError(
            "The base model has changed",
            f"{concept.name} was taught on {concept.base}, whose weights are not what they were. "
            "Together they would draw something else.",
            "Bring the old model back, or teach the concept again.",
        )


def rename_concept(name: str, new: str) -> Concept:
    """Give a concept another name, under which its pictures are found. Raises UsageError if it is taken or is none."""
    concept, new = find_concept(name), check_name(new)
    if exists(new):
        raise UsageError(
            f"The name {new!r} is taken", "Nothing was changed.", "Choose another, or remove that concept."
        )
    os.rename(concept.path, paths.concepts_dir() / new)
    pictures = paths.pictures_dir() / name
    if pictures.is_dir() and not (paths.pictures_dir() / new).exists():  # an earlier concept's stay its own
        with contextlib.suppress(OSError):
            os.rename(pictures, paths.pictures_dir() / new)
    return read_concept(paths.concepts_dir() / new)


def remove_folder(folder: Path) -> None:
    """Delete a concept's or run's folder: it leaves the library first, whole, then goes."""
    if folder.parent not in (paths.concepts_dir(), paths.runs_dir()) or folder.name == "..":
        raise ValueError(f"{folder} is not in the library")
    doomed = folder.with_name(f".{folder.name}.removed-{os.getpid()}")
    os.rename(folder, doomed)
    shutil.rmtree(doomed)
