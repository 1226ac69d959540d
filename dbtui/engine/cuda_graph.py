"""Work captured as a CUDA graph: thousands of launches become one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch


def captured(work: Callable[[], None], pool: Any = None) -> torch.cuda.CUDAGraph:
    """``work`` as a graph, in the memory of ``pool`` or its own. Raises what ``work`` raises and what cannot be captured.

    It must have been done on a side stream before, so that nothing is compiled or planned in it.
    """
    graph = torch.cuda.CUDAGraph()
    # Other threads go on with the GPU meanwhile: one may be writing a checkpoint.
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        work()
    return graph


@contextlib.contextmanager
def side_stream() -> Iterator[None]:
    """Work that a capture relies on must not run on the default stream."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
