"""The proof that an export is the concept: plain diffusers loads it, has the same tensors, draws the same picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from dbtui.core.errors import DbtuiError, printable
from dbtui.core.model_folder import COMPONENTS
from dbtui.core.original import file_name
from dbtui.engine.frame import scheduler_of
from dbtui.engine.models import Models
from dbtui.engine.narrator import Narrator
from dbtui.engine.tensor_writers import bytes_of

STEPS, SEED, SIDE = 2, 1, 128
"""Of the picture: its pixels along a side are as near to this as the model draws."""

ROUNDING = 0.5 / 255
"""By how much the values of two pictures of the same weights may differ, in a computer whose sums are never quite the same."""

Digests = dict[str, dict[str, str]]
"""By component, and by the name in files: type, shape and hash of each tensor."""

Told = Callable[[int, int], None]
"""Called with how much is done, of how much."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What an export in ``dtype`` must give back. Hashes and one picture, so that the model itself need not stay.

    ``side`` in pixels; ``picture`` are its values from 0 to 1, before they are rounded to colours.
    """

    dtype: torch.dtype
    prompt: str
    side: int
    tensors: Digests
    picture: np.ndarray

    @classmethod
    def of(cls, models: Models, prompt: str, narrator: Narrator) -> Proof:
        """What an export of ``models``, in the type that they have, must give back. They are in 32 bit afterwards."""
        dtype, tensors = models.unet.dtype, digests(models, _told(narrator, "noting every tensor", "tensors"))
        side = max(1, SIDE // models.base.multiple) * models.base.multiple
        told = _told(narrator, "drawing a picture to compare with", "steps")
        return cls(dtype, prompt, side, tensors, draw(_pipeline(models), prompt, side, told))

    def count(self) -> int:
        """How many tensors are compared."""
        return sum(map(len, self.tensors.values()))

    def check(self, export: Path, frame: Path, narrator: Narrator) -> float:
        """Load ``export`` as another program would, and compare. Raises DbtuiError at the first difference.

        Returns how far apart two values of the pictures are at most: 0 where the computer's arithmetic allows it,
        and never more than half a colour. ``frame`` is a folder with the configs and the tokenizer, which a single file does not have.
        """
        narrator.phase("loading the export")
        try:
            pipe = load_export(export, frame, self.dtype)
        except Exception as error:  # whatever the libraries say of what they cannot read
            raise _failed(f"Diffusers cannot load it: {printable(error)}.") from error
        found = digests(pipe, _told(narrator, "comparing every tensor", "tensors"))
        for part, tensors in self.tensors.items():
            for name in sorted(tensors.keys() | found[part].keys()):
                if tensors.get(name) != found[part].get(name):
                    raise _failed(f"In its {part}, {name} is not what was to be written.")
        picture = draw(pipe, self.prompt, self.side, _told(narrator, "comparing a picture", "steps"))
        apart = float(np.abs(picture - self.picture).max())
        if not apart <= ROUNDING:  # nor if it is no number
            raise _failed("It does not draw the picture that the concept draws.")
        return apart


def load_export(export: Path, frame: Path, dtype: torch.dtype) -> StableDiffusionPipeline:
    """The export in plain diffusers, by its public ways in and without a network."""
    options: dict[str, Any] = {"torch_dtype": dtype, "local_files_only": True}
    if export.is_dir():
        return StableDiffusionPipeline.from_pretrained(export, use_safetensors=True, **options)
    return StableDiffusionPipeline.from_single_file(str(export), config=str(frame), **options)


def digests(model: Models | StableDiffusionPipeline, told: Told) -> Digests:
    """Of the tensors on the CPU of all components."""
    tensors = [(part, *item) for part in COMPONENTS for item in getattr(model, part).state_dict().items()]
    found: Digests = {part: {} for part in COMPONENTS}
    for done, (part, name, tensor) in enumerate(tensors, 1):
        digest = hashlib.sha256(bytes_of(tensor)).hexdigest()
        found[part][file_name(part, name)] = f"{tensor.dtype} {tuple(tensor.shape)} {digest}"
        told(done, len(tensors))
    return found


def draw(pipe: StableDiffusionPipeline, prompt: str, side: int, told: Told) -> np.ndarray:
    """The values of a picture of ``side`` pixels, from 0 to 1. The weights are in 32 bit on the CPU afterwards.

    The same weights give the same values only in the same way of computing: a GPU picks its kernels by the memory
    that is free, and a CPU by how the weights lie in memory, which they do as in the file until they are copied.
    """
    pipe.set_progress_bar_config(disable=True)
    for part in COMPONENTS:
        for parameter in getattr(pipe, part).parameters():
            parameter.data = parameter.data.to("cpu", torch.float32, copy=True)
    told(0, STEPS)

    def on_step(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        told(step + 1, len(pipe.scheduler.timesteps))
        return tensors

    with torch.no_grad():
        result = pipe(
            prompt,
            num_inference_steps=STEPS,
            width=side,
            height=side,
            generator=torch.Generator().manual_seed(SEED),
            output_type="np",
            callback_on_step_end=on_step,
        )
    return np.asarray(result.images)


def _pipeline(models: Models) -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=models.vae,
        text_encoder=models.text_encoder,
        tokenizer=models.tokenizer,
        unet=models.unet,
        scheduler=scheduler_of(models.base),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _told(narrator: Narrator, phase: str, unit: str) -> Told:
    return lambda done, total: narrator.phase(phase, done, total, unit)


def _failed(why: str) -> DbtuiError:
    return DbtuiError(
        "The export did not pass its check",
        f"{why} Nothing of it was left; the concept is as it was.",
        "Try again; if it happens twice, the disk or the memory of this machine may be at fault.",
    )
