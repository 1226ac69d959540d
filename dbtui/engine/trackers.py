"""TensorBoard, Weights & Biases or trackio beside the journal, for those who ask for one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from PIL import Image

from dbtui.core.config import FIELDS, NO_TRACKER, Config
from dbtui.core.events import Event, Sample, Step
from dbtui.core.run import Run
from dbtui.engine.narrator import Narrator

PROJECT = "dbtui"

PRIVATE = ("data.folder", "data.urls", "data.exclude")
"""Parameters that say where a person keeps the photos, which is nobody else's business."""

SEEN_WITH = {
    "tensorboard": "`tensorboard --logdir {}` shows the run.",
    "wandb": "wandb has the run; if it is offline, `wandb sync {}/wandb/latest-run` sends it later.",
    "trackio": f"`trackio show --project {PROJECT}` shows the run.",
}
"""What a person is told; ``{}`` is the tracker's folder in the run."""

WANDB_SETTINGS = {"console": "off", "disable_git": True, "disable_code": True}
"""It would also send what the program prints, and where it was started."""

SCALARS = ("loss", "instance_loss", "prior_loss", "learning_rate", "grad_norm")
"""Fields of a step that are logged."""


def accelerator_options(run: Run) -> dict[str, Any]:
    """What ``Accelerator`` must be made with for the tracker that the run asks for."""
    name = run.config.training.track
    return {} if name == NO_TRACKER else {"log_with": name, "project_dir": str(_folder(run))}


@contextmanager
def tracked(run: Run, accelerator: Accelerator, narrator: Narrator, start: int) -> Iterator[None]:
    """Tell the run's tracker, if it asks for one, what is narrated in the block, from step ``start`` on.

    A tracker that fails is a warning in the journal; the training goes on without it.
    """
    if run.config.training.track == NO_TRACKER:
        yield
        return
    tracker = Tracker(run, accelerator, narrator)
    tracker.start(start)
    narrator.listeners.append(tracker.hear)
    try:
        yield
    finally:
        narrator.listeners.remove(tracker.hear)
        tracker.finish()


class Tracker:
    """Hands steps and samples on, until something goes wrong with that."""

    def __init__(self, run: Run, accelerator: Accelerator, narrator: Narrator) -> None:
        self._run, self._accelerator, self._narrator = run, accelerator, narrator
        self._name = run.config.training.track
        self._broken = False

    def start(self, step: int) -> None:
        """Take up the run in the tracker where it was after ``step`` steps."""
        self._attempt(lambda: self._begin(step))

    def hear(self, event: Event) -> None:
        if isinstance(event, Step):
            values = {name: getattr(event, name) for name in SCALARS}
            known = {name: value for name, value in values.items() if value is not None}
            self._attempt(lambda: self._accelerator.log(known, step=event.step))
        elif isinstance(event, Sample):
            self._attempt(lambda: self._show(self._run.path / event.path, event.step))

    def finish(self) -> None:
        self._attempt(lambda: [tracker.finish() for tracker in self._accelerator.trackers])

    def _begin(self, step: int) -> None:
        folder = _folder(self._run)
        folder.mkdir(mode=0o700, exist_ok=True)
        # As one of its settings, this would be refused by versions of wandb that do not have it.
        os.environ.setdefault("WANDB_X_DISABLE_META", "true")
        options = init_options(self._run, folder, step)
        self._accelerator.init_trackers(PROJECT, public_values(self._run.config), {self._name: options})
        if not self._accelerator.trackers:
            raise RuntimeError(f"there is no whole package of it; `pip install {self._name}` brings it")
        self._narrator.log(SEEN_WITH[self._name].format(folder))

    def _show(self, picture: Path, step: int) -> None:
        with Image.open(picture) as image:
            pixels = np.asarray(image.convert("RGB"))
        if self._name == "trackio":  # for which accelerate passes no pictures on
            import trackio  # type: ignore[import-not-found]

            self._accelerator.log({"samples": trackio.Image(pixels)}, step=step)
            return
        layout = {"dataformats": "NHWC"} if self._name == "tensorboard" else {}
        self._accelerator.get_tracker(self._name).log_images({"samples": pixels[None]}, step=step, **layout)

    def _attempt(self, act: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            act()
        except (Exception, SystemExit) as error:  # whatever a tracker, its server or its disk raises; some just leave
            self._broken = True
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            self._narrator.log(f"{self._name} failed: {reason}. The training goes on without it.", "warning")


def init_options(run: Run, folder: Path, step: int) -> dict[str, Any]:
    """What the tracker is started with, so that a resumed run is the same run there and no step is in it twice."""
    options: dict[str, dict[str, Any]] = {
        "tensorboard": {"purge_step": step + 1},
        "wandb": {"id": run.id, "name": run.id, "dir": str(folder), "resume": "allow", "settings": WANDB_SETTINGS},
        "trackio": {"name": run.id, "resume": "allow"},
    }
    return options[run.config.training.track]


def public_values(config: Config) -> dict[str, bool | int | float | str]:
    """The parameters of a run as a tracker shows them, without what is private to this machine."""
    values = {key: config[key] for key in FIELDS if key not in PRIVATE}
    values["model.base"] = Path(config.model.base).name if Path(config.model.base).is_absolute() else config.model.base
    return {key: FIELDS[key].format(value) if isinstance(value, list) else value for key, value in values.items()}


def _folder(run: Run) -> Path:
    return run.path / "tracker"
