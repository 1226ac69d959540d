"""Pictures as latents: each decoded and encoded once, kept as mean and deviation, by content."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from dbtui.core import paths
from dbtui.core.cache import LATENTS_KEY, touch
from dbtui.core.config import DataConfig
from dbtui.core.dataset import UnusableError, open_picture, square
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.weights import read_metadata, sha256
from dbtui.engine.models import Models

CROPS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Positions of the squares along the longer side when the crop is not only the centre."""


@dataclass(frozen=True, slots=True)
class Source:
    """A picture file and the hash of what it held when it was chosen."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Latents:
    """Encoded pictures. ``mean`` and ``deviation`` are [views, C, h, w], fp32; ``views`` lists each picture's."""

    mean: Tensor
    deviation: Tensor
    views: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.views)


def encode_pictures(
    models: Models,
    sources: Sequence[Source],
    resolution: int,
    data: DataConfig,
    progress: Callable[[int, int], None],
) -> Latents:
    """The latents of ``sources``, from the cache where they are there.

    Raises DbtuiError for a picture that has changed or gone since it was chosen.
    """
    vae_hash = models.base.fingerprint("vae")
    means: list[Tensor] = []
    deviations: list[Tensor] = []
    views: list[tuple[int, ...]] = []
    for index, source in enumerate(sources):
        progress(index, len(sources))
        asked = f"{source.sha256} {vae_hash} {resolution} crop={not data.center_crop} flip={data.flip}"
        cached = paths.cache_dir() / "latents" / f"{hashlib.sha256(asked.encode()).hexdigest()}.safetensors"
        entry = _read(cached, asked)
        if entry is None:
            entry = _encode(models, _views(_open(source), resolution, data))
            _keep(cached, entry, asked, f"{source.path.name} at {resolution} px")
        start = sum(len(m) for m in means)
        views.append(tuple(range(start, start + len(entry["mean"]))))
        means.append(entry["mean"])
        deviations.append(entry["deviation"])
    progress(len(sources), len(sources))
    return Latents(torch.cat(means), torch.cat(deviations), tuple(views), tuple(s.path.name for s in sources))


def _open(source: Source) -> Image.Image:
    try:
        if sha256(source.path) == source.sha256:
            return open_picture(source.path)
        what = "has changed since the run was started"
    except FileNotFoundError:
        what = "is gone"
    except (UnusableError, OSError) as error:
        what = f"cannot be read: {printable(error)}"
    raise DbtuiError(
        "A photo of this run is not what it was",
        f"{printable(source.path)} {what}. A run learns from the photos it was started with, and from no others.",
        "Put the photo back and resume, or start a new run.",
    )


def _views(image: Image.Image, resolution: int, data: DataConfig) -> list[Image.Image]:
    positions = (0.5,) if data.center_crop or image.width == image.height else CROPS
    crops = [square(image, resolution, position) for position in positions]
    mirrored = [crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for crop in crops] if data.flip else []
    return crops + mirrored


@torch.no_grad()
def _encode(models: Models, images: Sequence[Image.Image]) -> dict[str, Tensor]:
    """Mean and deviation of the posterior, one picture at a time: a batch would round differently."""
    vae = models.vae
    parts: list[tuple[Tensor, Tensor]] = []
    for image in images:
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = pixels.view(image.height, image.width, 3).permute(2, 0, 1).float() / 127.5 - 1
        posterior = vae.encode(pixels[None].to(vae.device, vae.dtype)).latent_dist
        parts.append((posterior.mean.float().cpu(), posterior.std.float().cpu()))
    return {"mean": torch.cat([m for m, _ in parts]), "deviation": torch.cat([d for _, d in parts])}


def _read(file: Path, asked: str) -> dict[str, Tensor] | None:
    """What was kept for ``asked``, or None if that is not there or not as it was: then it is made again."""
    try:
        about = json.loads(read_metadata(file)[LATENTS_KEY])
        entry = load(file.read_bytes())
        if about["sha256"] != _digest(entry, asked, about["what"]):
            return None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError):
        return None
    touch(file)
    return entry


def _keep(file: Path, entry: dict[str, Tensor], asked: str, what: str) -> None:
    about = {"sha256": _digest(entry, asked, what), "what": what}
    with contextlib.suppress(OSError):  # a full disk costs the next run a second, not this one its life
        paths.make_private(file.parent)
        paths.write_atomic(file, save(entry, {LATENTS_KEY: json.dumps(about)}))


def _digest(entry: dict[str, Tensor], asked: str, what: str) -> str:
    """The sha256 of all that an entry holds and of what it is the answer to."""
    digest = hashlib.sha256(f"{asked}\0{what}".encode(errors="surrogateescape"))
    for name in ("mean", "deviation"):
        digest.update(f"\0{name} {tuple(entry[name].shape)}\0".encode())
        digest.update(entry[name].numpy().tobytes())
    return digest.hexdigest()
