"""The 3-D emoji that the training pictures are made of."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

EXCLUDED_KINDS = ("hand",)
"""Gestures."""

EXCLUDED = frozenset(
    [
        # weapons
        *("axe", "bomb", "bow and arrow", "crossed swords", "dagger", "firecracker", "kitchen knife", "water pistol"),
        # smoking, drugs, blood, death
        *("cigarette", "pill", "syringe", "drop of blood", "coffin", "funeral urn", "headstone", "skull"),
        *("skull and crossbones", "zombie", "man zombie", "woman zombie"),
        # what few would choose to be shown
        *("pile of poo", "toilet", "plunger", "face vomiting", "nauseated face", "sneezing face", "drooling face"),
        *("face with symbols on mouth", "enraged face", "bikini", "briefs", "love hotel", "breast-feeding"),
        # gestures
        *(f"{who} gesturing {what}" for who in ("person", "man", "woman") for what in ("no", "ok")),
        *(f"{who} facepalming" for who in ("person", "man", "woman")),
    ]
)
"""What does not belong in a demo."""


@dataclass(frozen=True, slots=True)
class Emoji:
    """``pictures`` is [N, 4, side, side] of 8 bit, alpha last; ``subjects`` are held out for teaching."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    subjects: tuple[int, ...]
    pictures: np.ndarray = field(repr=False)

    @property
    def excluded(self) -> tuple[int, ...]:
        """Those that are never drawn, though they are no subjects."""
        return tuple(
            i
            for i, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True))
            if (name in EXCLUDED or kind in EXCLUDED_KINDS) and i not in self.subjects
        )

    @property
    def trained(self) -> tuple[int, ...]:
        """Those that the model learns."""
        return tuple(sorted(set(range(len(self.names))) - {*self.subjects, *self.excluded}))

    def index(self, name: str) -> int:
        """Raises ValueError if there is none of that name."""
        return self.names.index(name)


def read_emoji(path: Path) -> Emoji:
    """The emoji of a zip archive: ``meta.json``, a list of name, kind and held_out, and ``0.webp``, ``1.webp``, ..."""
    with zipfile.ZipFile(path) as archive:
        entries = json.loads(archive.read("meta.json"))
        pictures = []
        for i in range(len(entries)):
            with Image.open(BytesIO(archive.read(f"{i}.webp"))) as picture:
                pictures.append(np.asarray(picture.convert("RGBA")).transpose(2, 0, 1))
    return Emoji(
        names=tuple(" ".join(entry["name"].split()) for entry in entries),
        kinds=tuple(entry["kind"] for entry in entries),
        subjects=tuple(i for i, entry in enumerate(entries) if entry["held_out"]),
        pictures=np.stack(pictures),
    )
