"""Another program's training script, timed on the same model by its own progress bar."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
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


def time_script(order: Order, model: str, base: BaseModel, resolution: int, batch: int, scratch: Path) -> Row:
    """Steps of ``order.against``, which takes the arguments of diffusers' train_dreambooth.py; it is ended after the last.

    A row that says why if it does not get there.
    """
    script, gpu = Path(order.against), torch.cuda.is_available()
    precision = ("bf16" if order.precision == "auto" else order.precision) if gpu else "no"
    steps = order.steps + WARM_UP
    command = [
        sys.executable, str(script), f"--pretrained_model_name_or_path={base.path}",
        f"--instance_data_dir={SUBJECTS['teddy-bear'].folder}", "--instance_prompt=a photo of sks toy",
        f"--output_dir={scratch / 'script'}", f"--resolution={resolution}", f"--train_batch_size={batch}",
        f"--max_train_steps={steps}", f"--mixed_precision={precision}", "--learning_rate=5e-6",
        "--lr_scheduler=constant", "--lr_warmup_steps=0", f"--checkpointing_steps={steps + 1}", *order.arguments,
    ]  # fmt: skip
    used = _used()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            seen, said, peak = _watch(process, steps)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
    if len(seen) < 2:
        lines = [line for line in re.split(r"[\r\n]+", said.decode(errors="replace")) if line.strip()]
        why = printable(lines[-1])[:200] if lines else "it said nothing"
        return Row(what=script.name, model=model, resolution=resolution, batch=batch, problem=why)
    (first, began), (last, ended) = seen[0], seen[-1]
    seconds = (ended - began) / (last - first)
    return Row(
        what=script.name, model=model, resolution=resolution, batch=batch, precision=precision,
        how=" ".join(order.arguments), milliseconds=seconds * 1000, pictures=batch / seconds,
        memory=peak - used if peak else None,
    )  # fmt: skip


def _watch(process: subprocess.Popen[bytes], steps: int) -> tuple[list[tuple[int, float]], bytes, int]:
    """When each count of steps was first seen, after the warm-up, the end of what else was said, and the GPU's peak."""
    assert process.stdout is not None
    seen: list[tuple[int, float]] = []
    said, peak = b"", 0
    while piece := process.stdout.read1(65536):  # type: ignore[attr-defined]
        said, peak = (said + piece)[-8192:], max(peak, _used())
        counts = [int(count) for count, total in PROGRESS.findall(said) if int(total) == steps]
        if counts and counts[-1] >= WARM_UP and (not seen or counts[-1] > seen[-1][0]):
            seen.append((counts[-1], time.monotonic()))
            if counts[-1] == steps:
                break
    return seen, said, peak


def _used() -> int:
    """Bytes of the GPU that any process has; 0 without one."""
    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info()
    return total - free
