"""The measuring as a process. The order has the fields of ``core.benchmark.Order``; the events are ``device``,
``measuring``, which says what, and ``row``.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dbtui.core.benchmark import Order
from dbtui.engine.order import carry_out
from dbtui.engine.wire import Wire


def bench_process() -> int:
    """Measure what one order asks for; returns the exit code."""
    return carry_out(_measure, "The speed could not be measured")


def _measure(order: dict[str, Any], wire: Wire) -> dict[str, Any]:
    import torch

    from dbtui.engine.bench import bench
    from dbtui.engine.machine import device_words
    from dbtui.engine.models import quiet_libraries

    quiet_libraries()
    wire.send("device", words=device_words("cuda" if torch.cuda.is_available() else "cpu"), torch=torch.__version__)
    for row in bench(Order(**order), lambda words: wire.send("measuring", words=words)):
        wire.send("row", **asdict(row))
    return {}
