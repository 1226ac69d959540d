"""Words for failures that nobody planned for."""

from __future__ import annotations

import contextlib
import errno
import traceback
from pathlib import Path

import torch

from dbtui.core.errors import FULL, obstacle
from dbtui.core.units import format_bytes

LESS_MEMORY = (
    "Nothing saved is lost. To need less: --preset low-vram, or training.gradient_checkpointing=true, "
    "training.optimizer=adamw8bit, training.batch_size=1, a smaller data.resolution."
)

REFUSALS = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "out of memory")
"""What libraries say that have no memory to begin with."""


def out_of_memory(error: BaseException) -> bool:
    """Whether the machine or its GPU had no more memory to give."""
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in REFUSALS)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or said


def explain(error: Exception) -> tuple[str, str]:
    """Message and hint for a person; the log has the rest, unless its disk is full."""
    with contextlib.suppress(OSError):
        traceback.print_exception(error)
    if isinstance(error, OSError) and error.errno in (*FULL, errno.EROFS):
        return obstacle(error, Path(error.filename).parent if isinstance(error.filename, str) else "")
    if not out_of_memory(error):
        return f"{type(error).__name__}: {error}", "This should not happen; the log has the details."
    needed = ""
    if torch.cuda.is_available():
        _, total = torch.cuda.mem_get_info()
        needed = f" It had taken {format_bytes(torch.cuda.max_memory_allocated())} of {format_bytes(total)}."
    return f"Out of memory.{needed}", LESS_MEMORY
