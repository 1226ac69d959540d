"""The engine's measuring process: started with an order, followed row by row, ended with the block."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from dbtui.core.benchmark import Order
from dbtui.core.errors import DbtuiError
from dbtui.jobs.launch import engine_command, engine_environment

PATIENCE = 20.0
"""Seconds in which a process that is to end tidies up."""


def measure(order: Order, log: int = subprocess.DEVNULL) -> Iterator[dict[str, Any]]:
    """The messages of a measuring process: device, measuring, row. It ends with the iteration, finished or not.

    Raises DbtuiError for what it reports as failed, or if it dies.
    """
    process = subprocess.Popen(
        engine_command("bench"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
        env=engine_environment(),
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(asdict(order)) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            message = json.loads(line)
            if message["kind"] == "done":
                return
            if message["kind"] == "failed":
                raise DbtuiError(message["title"], message["message"], message["hint"])
            yield message
        code = process.wait()
        raise DbtuiError(
            "The measuring died", f"Its process ended with code {code}.", "Leave out the settings that need most."
        )
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdin.close()
        process.stdout.close()
