"""Trainings for measuring, as a person would start them: the command, and what its journal says."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbtui.core.events import Ended, Event
from dbtui.core.journal import JournalReader
from dbtui.core.run import runs
from dbtui.core.subjects import SUBJECTS


@contextmanager
def model_to_train(given: str = "") -> Iterator[str]:
    """``given``, or Stable Diffusion 1.5's architecture with random weights; everything is kept elsewhere in the block."""
    with tempfile.TemporaryDirectory(prefix="dbtui-") as home:
        os.environ.update(DBTUI_HOME=f"{home}/dbtui", HF_HUB_OFFLINE="1")
        from dbtui.engine.bench import write_random_model

        yield given or str(write_random_model(Path(home) / "model"))


def train(model: str, *options: str) -> tuple[list[Event], str]:
    """What the journal has once the training is over, and why it is not a concept; ``""`` if it is."""
    name = f"measured-{len(runs())}"
    command = [sys.executable, "-m", "dbtui", "train", str(SUBJECTS["robot"].folder), "--model", model, "--name", name]
    done = subprocess.run([*command, "--prompt", "a photo of sks toy", *options], capture_output=True, text=True)
    run = next((run for run in runs() if run.config.concept.name == name), None)
    events = JournalReader(run.journal).read() if run else []
    ended = next((event for event in events if isinstance(event, Ended)), None)
    if ended is not None and ended.reason == "done":
        return events, ""
    return events, " ".join((ended.message if ended else done.stderr).split())[-200:]
