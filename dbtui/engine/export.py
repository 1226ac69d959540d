"""A concept written out for other programs, proven to be what it should be, then put in its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dbtui.core import paths
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.export import CARD, Order, files_in
from dbtui.core.library import Concept, check_base, find_base, find_sound_concept
from dbtui.core.model_folder import COMPONENTS
from dbtui.core.original import file_name
from dbtui.core.recipe import header, model_card, recipe_of
from dbtui.core.weights import sha256
from dbtui.engine.frame import write_frame
from dbtui.engine.models import Models, load_models, load_weights
from dbtui.engine.narrator import Narrator
from dbtui.engine.original import to_original
from dbtui.engine.proof import Proof
from dbtui.engine.tensor_writers import write_ckpt, write_safetensors

WEIGHTS = {part: f"{part}/{stem}.safetensors" for part, (_, _, stem) in COMPONENTS.items()}
"""Where a folder in diffusers layout has the weights of each component."""


@dataclass(frozen=True, slots=True)
class Export:
    """One that is in its place: its bytes, and how many tensors and what picture proved it, with how much rounding."""

    size: int
    tensors: int
    picture: int
    rounding: float


def export(order: Order, narrator: Narrator, announce: Callable[[Path], None]) -> Export:
    """Carry out ``order``. ``announce`` is called with the path at which the export comes about.

    It gets its name once its proof has been checked. Raises DbtuiError if that fails or it cannot be written;
    nothing of it is left then, and an earlier export that it was to replace is where it was.
    """
    concept = find_sound_concept(order.concept)
    models = load_concept(concept, narrator)
    dtype = torch.float16 if order.half else torch.float32
    check_finite(models.to("cpu", dtype))
    proof = Proof.of(models, concept.prompt, narrator)
    models.to("cpu", dtype)
    try:
        with _place(order) as partial, paths.scratch_folder() as scratch:
            announce(partial)
            frame = partial if order.is_folder else scratch / "frame"
            write_frame(frame, models)
            if order.is_folder:
                write_folder(partial, concept, models, narrator)
            else:
                write_file(partial, order.format, concept, models, narrator)
            del models  # what is read back takes as much
            rounding = proof.check(partial, frame, narrator)
            size = paths.folder_size(partial) if order.is_folder else partial.stat().st_size
            narrator.phase("putting it in its place")
    except OSError as error:
        raise DbtuiError(
            "The export could not be written",
            f"{printable(order.destination)}: {printable(error.strerror or error)}. Nothing of it was left there.",
            "Make room, or name another place.",
        ) from error
    return Export(size, proof.count(), proof.side, rounding)


def load_concept(concept: Concept, narrator: Narrator) -> Models:
    """The base model with what was taught in it, on the CPU in 32 bit. Raises DbtuiError if one is not what it was."""
    narrator.phase("checking the weights")
    base = find_base(concept)
    check_base(concept, base)
    for part, digest in concept.trained.items():
        if sha256(concept.weights(part)) != digest:
            raise DbtuiError(
                f"The concept {concept.name!r} is damaged",
                f"{printable(concept.weights(part))} is not what was written. Nothing was exported.",
                f"Remove it with `dbtui rm {concept.name}`, and teach it again.",
            )
    narrator.phase("loading the model")
    models = load_models(base)
    for part in concept.trained:
        load_weights(models.component(part), part, concept.weights(part))
    for part in COMPONENTS:
        models.component(part).requires_grad_(False).eval()
    return models


def check_finite(models: Models) -> None:
    """Raise DbtuiError if a weight is no number, as those are that are too large for 16 bit."""
    half = models.unet.dtype == torch.float16
    for part in COMPONENTS:
        for name, weight in models.component(part).state_dict().items():
            if not bool(torch.isfinite(weight).all()):
                raise DbtuiError(
                    "The weights do not fit 16 bit" if half else "The weights are not finite",
                    f"In its {part}, {name} has values that would be no numbers. Nothing was exported.",
                    "Export it without --half." if half else "Teach the concept again.",
                )


def write_folder(folder: Path, concept: Concept, models: Models, narrator: Narrator) -> None:
    """Add weights, model card and recipe to the frame in ``folder``. Raises OSError."""
    total, before = sum(_sizes(models).values()), 0
    for part, size in _sizes(models).items():
        texts = {"format": "pt"}  # without it, transformers takes them for another framework's
        write_safetensors(folder / WEIGHTS[part], _named(part, models), texts, _progress(narrator, before, total))
        before += size
    half = models.unet.dtype == torch.float16
    (folder / "README.md").write_text(model_card(concept, models.base, half), encoding="utf-8")
    card = {"recipe": recipe_of(concept), "files": sorted({*files_in(folder), CARD})}
    (folder / CARD).write_text(json.dumps(card, indent=1), encoding="utf-8")


def write_file(file: Path, format: str, concept: Concept, models: Models, narrator: Narrator) -> None:
    """Write all of ``models`` into ``file``, in the original layout. Raises OSError."""
    tensors = to_original({part: _named(part, models) for part in COMPONENTS}, models.base.configs)
    write = {"safetensors": write_safetensors, "ckpt": write_ckpt}[format]
    write(file, tensors, header(concept, models.base), _progress(narrator, 0, sum(_sizes(models).values())))


def _place(order: Order) -> AbstractContextManager[Path]:
    """The path at which the export comes about; it becomes the destination if the block ends well."""
    # What there is was looked at when the order was made: an empty folder, or an export that may be replaced.
    replace = order.path.exists()
    if order.is_folder:
        return paths.whole_folder(order.path, mode=0o777, replace=replace)
    return paths.whole_file(order.path, replace)


def _progress(narrator: Narrator, before: int, total: int) -> Callable[[int], None]:
    return lambda written: narrator.phase("writing", min(before + written, total), total, "bytes")


def _named(part: str, models: Models) -> dict[str, Tensor]:
    """A component's tensors by their names in files."""
    return {file_name(part, name): tensor for name, tensor in models.component(part).state_dict().items()}


def _sizes(models: Models) -> dict[str, int]:
    """Bytes of the tensors of each component."""
    return {part: sum(tensor.nbytes for tensor in models.component(part).state_dict().values()) for part in COMPONENTS}
