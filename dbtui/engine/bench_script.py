"""Another program's training script, timed on the same model by its own progress bar."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from dbtui.core.base_model import BaseModel
from dbtui.core.benchmark import Order, Row
from dbtui.core.errors import printable
from dbtui.core.subjects import SUBJECTS

PROGRESS = re.compile(rb"(\d+)/(\d+) \[")
"""What tqdm writes of its count."""

WARM_UP = 5
"""Steps that are not counted."""

CLASS_BATCHES, CLASS_BATCH, CLASS_STEPS = 6, 4, 50
"""Batches of class pictures that are drawn, of which the first is not counted; what the script takes by itself."""


def time_script(order: Order, model: str, base: BaseModel, resolution: int, batch: int, scratch: Path) -> Row:
    """Steps of ``order.against``, which takes the arguments of diffusers' train_dreambooth.py; it is ended after the last.

    A row that says why if it does not get there.
    """
    precision = _precision(order)
    steps = order.steps + WARM_UP
    arguments = [f"--train_batch_size={batch}", f"--max_train_steps={steps}", f"--checkpointing_steps={steps + 1}"]
    timed = _time(_command(order, base, resolution, scratch, arguments), steps, WARM_UP)
    empty = Row(what=Path(order.against).name, model=model, resolution=resolution, batch=batch)
    if isinstance(timed, str):
        return replace(empty, problem=timed)
    seconds, memory = timed
    return replace(
        empty, precision=precision, how=" ".join(order.arguments), milliseconds=seconds * 1000,
        pictures=batch / seconds, memory=memory,
    )  # fmt: skip


def time_class_pictures(order: Order, model: str, base: BaseModel, resolution: int, scratch: Path) -> Row:
    """A batch of class pictures as ``order.against`` makes them by itself; it is ended after some.

    A row that says why if it does not get there.
    """
    count = CLASS_BATCHES * CLASS_BATCH
    arguments = [
        "--with_prior_preservation", "--class_prompt=a photo of a toy", f"--class_data_dir={scratch / 'class'}",
        f"--num_class_images={count}", f"--sample_batch_size={CLASS_BATCH}", "--max_train_steps=1",
    ]  # fmt: skip
    timed = _time(_command(order, base, resolution, scratch, arguments), CLASS_BATCHES, 1)
    empty = Row(what="its class pictures", model=model, resolution=resolution, batch=CLASS_BATCH)
    if isinstance(timed, str):
        return replace(empty, problem=timed)
    seconds, memory = timed
    return replace(
        empty, precision="fp16" if torch.cuda.is_available() else "no", how=f"{CLASS_STEPS} steps",
        milliseconds=seconds * 1000, pictures=CLASS_BATCH / seconds, memory=memory,
    )  # fmt: skip


def _precision(order: Order) -> str:
    if not torch.cuda.is_available():
        return "no"
    return "bf16" if order.precision == "auto" else order.precision


def _command(order: Order, base: BaseModel, resolution: int, scratch: Path, arguments: list[str]) -> list[str]:
    """The script on the photos that everything is measured with."""
    return [
        sys.executable, order.against, f"--pretrained_model_name_or_path={base.path}",
        f"--instance_data_dir={SUBJECTS['teddy-bear'].folder}", "--instance_prompt=a photo of sks toy",
        f"--output_dir={scratch / 'script'}", f"--resolution={resolution}", f"--mixed_precision={_precision(order)}",
        "--learning_rate=5e-6", "--lr_scheduler=constant", "--lr_warmup_steps=0", *arguments, *order.arguments,
    ]  # fmt: skip


def _time(command: list[str], total: int, warm_up: int) -> tuple[float, int | None] | str:
    """Seconds of each of ``total`` that a progress bar counts, after the first ``warm_up``, and bytes of the GPU; or why not."""
    used = _used()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            seen, said, peak = _watch(process, total, warm_up)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
    if len(seen) < 2:
        lines = [line for line in re.split(r"[\r\n]+", said.decode(errors="replace")) if line.strip()]
        return printable(lines[-1])[:200] if lines else "it said nothing"
    (first, began), (last, ended) = seen[0], seen[-1]
    return (ended - began) / (last - first), peak - used if peak else None


def _watch(process: subprocess.Popen[bytes], total: int, warm_up: int) -> tuple[list[tuple[int, float]], bytes, int]:
    """When each count was first seen, after the warm-up, the end of what else was said, and the GPU's peak."""
    assert process.stdout is not None
    seen: list[tuple[int, float]] = []
    said, peak = b"", 0
    while piece := process.stdout.read1(65536):  # type: ignore[attr-defined]
        said, peak = (said + piece)[-8192:], max(peak, _used())
        counts = [int(count) for count, whole in PROGRESS.findall(said) if int(whole) == total]
        if counts and counts[-1] >= warm_up and (not seen or counts[-1] > seen[-1][0]):
            seen.append((counts[-1], time.monotonic()))
            if counts[-1] == total:
                break
    return seen, said, peak


def _used() -> int:
    """Bytes of the GPU that any process has; 0 without one."""
    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info()
    return total - free
