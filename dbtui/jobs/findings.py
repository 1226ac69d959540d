"""What the engine finds out about torch and the device, asked in a process of its own: a broken torch breaks only that."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from typing import Any

from dbtui.core.errors import printable
from dbtui.jobs.launch import engine_command, engine_environment

PATIENCE = 180.0
"""Seconds for all of it. On a busy machine the libraries alone take one of the three minutes."""

Findings = dict[str, dict[str, Any]]


def ask_engine(trying: Callable[[str], None]) -> Findings:
    """The engine's findings by name; one that failed has ``problem``. ``trying`` is told each name beforehand.

    A process that dies or is too slow leaves the finding ``crash``, with ``trying`` and ``problem``.
    """
    findings: Findings = {}
    last, complete = "", False
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            engine_command("doctor"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
            env=engine_environment(),
        )
        timer = threading.Timer(PATIENCE, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                message = _message(line)
                if "trying" in message:
                    last = message["trying"]
                    trying(last)
                elif "found" in message:
                    findings[message.pop("found")] = message
                complete = complete or "end" in message
            code = process.wait()
        finally:
            late = not timer.is_alive()
            timer.cancel()
            process.kill()
            process.wait()
        if not complete:
            errors.seek(0)
            problem = f"no answer within {PATIENCE:.0f} s" if late else _cause(code, errors.read())
            findings["crash"] = {"trying": last, "problem": problem}
    return findings


def _message(line: str) -> dict[str, Any]:
    """The message in a line; none in what some library prints."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _cause(code: int, errors: bytes) -> str:
    """Why a process ended: the signal that killed it, or the last line that it wrote."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    lines = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
    return printable(lines[-1].strip()) if lines else f"ended with code {code}"
