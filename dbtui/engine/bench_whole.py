"""A whole training timed from the command to the concept in the library, and where the time went."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from dbtui.core import paths
from dbtui.core.base_model import BaseModel
from dbtui.core.benchmark import Order, Row
from dbtui.core.errors import printable
from dbtui.core.events import Event, Phase, Step
from dbtui.core.journal import JournalReader
from dbtui.core.subjects import SUBJECTS

SUBJECT = SUBJECTS["teddy-bear"]


def time_whole_training(order: Order, model: str, base: BaseModel, resolution: int, scratch: Path) -> Iterator[Row]:
    """A row for the whole and one for each part of `dbtui train` as a person types it, in a library of its own."""
    home = scratch / "whole"
    # Kernels that were compiled before are as they are in a person's second training.
    kernels = os.environ.get("TRITON_CACHE_DIR", str(paths.cache_dir() / "kernels"))
    dbtui = [sys.executable, "-P", "-m", "dbtui"]
    environment = {**os.environ, "DBTUI_HOME": str(home), "TRITON_CACHE_DIR": kernels}
    settings = {
        "data.resolution": resolution, "training.steps": order.whole, "training.batch_size": order.batches[0],
        "training.precision": order.precision, "training.processes": order.processes,
    }  # fmt: skip
    command = [
        *dbtui, "train", str(SUBJECT.folder), "--name", "bench", "--prompt", SUBJECT.prompt,
        "--model", "mini" if model == "mini" else str(base.path), "--json",
        *(word for name, value in settings.items() for word in ("--set", f"{name}={value}")),
    ]  # fmt: skip
    photos = order.batches[0] * order.processes
    empty = Row(what="whole training", model=model, resolution=resolution, batch=photos)
    began = time.time()
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
    except BaseException:  # the trainer belongs to no terminal, and would go on
        subprocess.run([*dbtui, "stop", "bench", "--wait", "10"], capture_output=True, env=environment)
        raise
    ended = time.time()
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        yield replace(empty, problem=printable(lines[-1])[:200] if lines else f"it ended with code {done.returncode}")
        return
    (journal,) = home.glob("runs/*/journal.jsonl")
    events = JournalReader(journal).read()
    together = f", {order.processes} processes" if order.processes > 1 else ""
    yield replace(empty, how=f"{order.whole} steps{together}", milliseconds=1000 * (ended - began))
    step = usual_step(events)
    yield replace(empty, what="its steps", milliseconds=1000 * step, pictures=photos / step)
    for name, seconds in parts(events, began, ended).items():
        yield replace(empty, what=f"- {name}", milliseconds=1000 * seconds)


def usual_step(events: list[Event]) -> float:
    """Seconds of a step as the journal tells them, when the training had found its pace."""
    steps = [event.seconds for event in events if isinstance(event, Step)]
    return median(steps[len(steps) // 2 :])


def parts(events: list[Event], began: float, ended: float) -> dict[str, float]:
    """Seconds of each phase that the journal tells of, in their order; what is before the first is starting."""
    phase, seconds, since = "starting", dict[str, float](), began
    for event in events:
        seconds[phase] = seconds.get(phase, 0.0) + event.time - since
        since = event.time
        phase = event.name if isinstance(event, Phase) else phase
    seconds[phase] = seconds.get(phase, 0.0) + ended - since
    return seconds
