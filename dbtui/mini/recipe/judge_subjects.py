"""What a model is taught to see how well it learns: the package's subjects, and others that it has not seen either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from dbtui.core.subjects import SUBJECTS, Subject
from dbtui.mini.recipe.compositions import Composer
from dbtui.mini.recipe.emoji import Emoji
from dbtui.mini.recipe.layout import pack
from dbtui.mini.recipe.rendering import Renderer

OTHERS: Mapping[str, str] = {"water-pistol": "toy", "love-hotel": "building", "axe": "tool", "skull": "monster"}
"""Subjects whose emoji no model is trained on, and the word for what they are."""

BACKDROPS: tuple[tuple[str | None, str | None], ...] = (
    (None, "white"), (None, "gray"), (None, "yellow"), ("on a wooden table", None), ("on the grass", None),
)  # fmt: skip
"""Scene and colour of each photo, as in the package's."""


@dataclass(frozen=True, slots=True)
class Exam:
    """A subject to teach: its photos, and which emoji a picture of it shows."""

    subject: Subject
    emoji: int
    folder: Path


def exams(emoji: Emoji, photos: Path) -> dict[str, Exam]:
    """The package's subjects, then the others, whose photos are in folders of ``photos``."""
    folders = {subject: subject.folder for subject in SUBJECTS.values()}
    folders |= {Subject(name, noun): photos / name for name, noun in OTHERS.items()}
    return {s.name: Exam(s, _index(emoji, s.name), folder) for s, folder in folders.items()}


def _index(emoji: Emoji, subject: str) -> int:
    return emoji.index(subject.replace("-", " "))


def take_photos(emoji: Emoji, renderer: Renderer, folder: Path) -> None:
    """Five pictures of each of ``OTHERS``, in a folder of its own."""
    composer = Composer(emoji.names, emoji.kinds, emoji.trained, seed=11)
    for name in OTHERS:
        shots = []
        for scene, colour in BACKDROPS:
            shot = composer.single(_index(emoji, name))
            thing = replace(shot.things[0], scale=composer.random.uniform(0.6, 0.8), x=shot.things[0].x / 2, y=0.05)
            shots.append(replace(shot, things=(thing,), scene=scene, colour=colour, light=""))
        pictures = renderer.draw(pack(shots).to(renderer.backdrops.device))
        made = folder / name
        made.mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(((pictures + 1) * 127.5).byte().permute(0, 2, 3, 1).cpu().numpy(), 1):
            Image.fromarray(np.ascontiguousarray(pixels)).save(made / f"{number}.jpg", quality=95)
