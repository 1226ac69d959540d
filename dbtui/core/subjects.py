"""The sample subjects that come with the embedded model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dbtui.core import paths


@dataclass(frozen=True, slots=True)
class Subject:
    """Five photos of something the embedded model has never seen."""

    name: str
    noun: str

    @property
    def folder(self) -> Path:
        return paths.mini_dir() / "subjects" / self.name

    @property
    def prompt(self) -> str:
        return f"a photo of sks {self.noun}"

    @property
    def class_prompt(self) -> str:
        return f"a photo of a {self.noun}"


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("teddy-bear", "toy"),
        Subject("robot", "toy"),
        Subject("cupcake", "sweet"),
        Subject("fire-engine", "vehicle"),
    )
}
