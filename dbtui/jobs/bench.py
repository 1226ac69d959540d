"""The engine's measuring process: started with an order, followed row by row, ended with the block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dbtui.core.benchmark import Order
from dbtui.core.errors import DbtuiError
from dbtui.jobs.wire import EngineProcess, failure

PATIENCE = 20.0
"""Seconds in which a process that is to end tidies up."""


def measure(order: Order, log: Path | None = None) -> Iterator[dict[str, Any]]:
    """The messages of a measuring process: device, measuring, row. It ends with the iteration, finished or not.

    Raises DbtuiError for what it reports as failed, or if it dies.
    """
    process = EngineProcess("bench", log)
    try:
        process.send(asdict(order))
        for message in process.messages():
            if message["kind"] == "done":
                return
            if message["kind"] == "failed":
                raise failure(message)
            if message["kind"] == "cancelled":
                break
            yield message
        raise DbtuiError(
            "The measuring died",
            f"Its process ended with code {process.wait()}.",
            "Leave out the settings that need most.",
        )
    finally:
        process.terminate()
        process.end(PATIENCE)
