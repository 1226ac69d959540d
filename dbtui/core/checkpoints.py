"""Checkpoints on disk: which there are, which are whole, which may go. Without torch."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dbtui.core import paths
from dbtui.core.weights import read_header, sha256

MANIFEST = "manifest.json"
STATE = "state.pt"
"""The file that only a resume needs: optimizer, average and scaler."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint by its folder, ``step-000100``."""

    path: Path

    @property
    def step(self) -> int:
        return int(self.path.name.removeprefix("step-"))

    @property
    def resumable(self) -> bool:
        """False once only the weights were kept."""
        return (self.path / STATE).is_file()

    def weights(self, component: str) -> Path:
        return self.path / f"{component}.safetensors"

    def problem(self, deep: bool = True) -> str:
        """Why it cannot be trusted, or ``""``. ``deep`` reads every byte and compares the hashes."""
        try:
            files = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))["files"]
            for name, entry in files.items():
                file = self.path / name
                if file.stat().st_size != entry["size"]:
                    return f"{name} has {file.stat().st_size:,} bytes and should have {entry['size']:,}"
                if deep and sha256(file) != entry["sha256"]:
                    return f"{name} is not what was written"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"its manifest cannot be read ({error})"
        return ""


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints in a run's folder, newest first. Half-written ones have other names."""
    if not folder.is_dir():
        return []
    found = [Checkpoint(p) for p in folder.glob("step-*") if p.name.removeprefix("step-").isdigit()]
    return sorted(found, key=lambda c: c.step, reverse=True)


def newest_sound(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that a run can be resumed from, and a sentence for each newer one that cannot."""
    sentences: list[str] = []
    for checkpoint in checkpoints(folder):
        problem = checkpoint.problem() or ("" if checkpoint.resumable else "only its weights were kept")
        if not problem:
            return checkpoint, sentences
        sentences.append(f"The checkpoint of step {checkpoint.step} is left out: {problem}.")
    return None, sentences


@contextmanager
def writing(folder: Path, step: int, hashes: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Yield a folder to write a checkpoint's files into; ``hashes`` are of those whose writer has hashed them.

    On a good end it gets a manifest of sizes and hashes, is synced, renamed to its name and
    checked. Raises OSError if it could not be written; earlier checkpoints are untouched.
    """
    destination = folder / f"step-{step:06}"
    old = folder / f".{destination.name}.old.partial"
    with paths.whole_folder(destination) as partial:
        yield partial
        known = hashes or {}
        files = {
            p.name: {"size": p.stat().st_size, "sha256": known.get(p.name) or sha256(p)}
            for p in sorted(partial.iterdir())
        }
        manifest = {"version": 1, "step": step, "files": files}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        if destination.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.rename(destination, old)
    shutil.rmtree(old, ignore_errors=True)
    written = Checkpoint(destination)
    problem = written.problem(deep=False)
    if problem:
        raise OSError(f"the new checkpoint cannot be trusted: {problem}")
    for file in destination.glob("*.safetensors"):
        read_header(file)


def prune(folder: Path, keep: int) -> None:
    """Remove all but the ``keep`` newest checkpoints, and what killed writers left behind."""
    for old in checkpoints(folder)[keep:]:
        shutil.rmtree(old.path)
    for partial in folder.glob(".*.partial"):
        shutil.rmtree(partial, ignore_errors=True)


def keep_weights_only(folder: Path) -> None:
    """Drop from finished runs what only a resume needs: two thirds of the disk space."""
    for checkpoint in checkpoints(folder):
        if not checkpoint.resumable or checkpoint.problem(deep=False):
            continue
        manifest = json.loads((checkpoint.path / MANIFEST).read_text(encoding="utf-8"))
        manifest["files"].pop(STATE, None)
        paths.write_atomic(checkpoint.path / MANIFEST, json.dumps(manifest, indent=1))
        (checkpoint.path / STATE).unlink()
