"""How many processes train a run on this machine."""

from __future__ import annotations

import os

from dbtui.core.config import TrainingConfig
from dbtui.core.errors import UsageError
from dbtui.core.fields import AUTO
from dbtui.core.units import plural
from dbtui.jobs.gpus import gpus


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve(asked: int | str) -> int:
    """What ``training.processes`` comes to for a new run: ``auto`` is one for each visible GPU.

    Raises UsageError if the machine has not that many GPUs or, without any, cores.
    """
    if asked == 1:
        return 1
    visible = len(gpus())
    if asked == AUTO:
        return max(1, visible)
    count = int(asked)
    if visible and count > visible:
        raise UsageError(
            f"There are not {count} GPUs",
            f"training.processes is {count}, each process needs a GPU of its own, and {plural(visible, 'GPU')} can be seen.",
            f"Ask for {visible} or fewer, or auto; CUDA_VISIBLE_DEVICES may hide some.",
        )
    if not visible and count > cores():
        raise UsageError(
            f"There are not {count} cores",
            f"training.processes is {count}, and without a GPU each process needs a core; there are {cores()}.",
            f"Ask for {cores()} or fewer. On a CPU one process is usually as fast.",
        )
    return count


def share(training: TrainingConfig, asked: int | str) -> int:
    """How many processes take up a run that was begun already; its steps stay what they were.

    ``auto`` is as many as there are GPUs for and can share a step's batches evenly. Raises UsageError.
    """
    fitting = [count for count in range(1, training.batches_per_step + 1) if training.batches_per_step % count == 0]
    count = resolve(asked)
    if asked == AUTO:
        return max(n for n in fitting if n <= count)
    if count not in fitting:
        raise UsageError(
            f"{count} processes cannot share a step evenly",
            f"Each step of this run has {plural(training.batches_per_step, 'share')} of "
            f"{plural(training.batch_size, 'photo')}, whoever computes them.",
            f"--processes can be {', '.join(map(str, fitting))}.",
        )
    return count
