"""The other end of an engine process's wire: JSON lines to its standard input, JSON lines from its standard output."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from dbtui.core.errors import DbtuiError
from dbtui.jobs.launch import engine_command, engine_environment


class EngineProcess:
    """A running ``python -m dbtui.engine COMMAND`` in a session of its own. The end of its input ends it."""

    def __init__(self, command: str, log: Path | None = None) -> None:
        """``log`` is added to by what it says beside its messages."""
        errors: IO[bytes] | int = open(log, "ab") if log else subprocess.DEVNULL
        self._process = subprocess.Popen(
            engine_command(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            env=engine_environment(),
        )
        if not isinstance(errors, int):
            errors.close()
        self._sending = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; nothing happens if the process has gone. Safe from any thread or a signal handler."""
        assert self._process.stdin is not None
        with self._sending, contextlib.suppress(OSError, ValueError):  # ValueError: it has been closed
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def messages(self) -> Iterator[dict[str, Any]]:
        """What it says, as it comes, until it has ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith("\n"):  # it died while it spoke
                return
            yield json.loads(line)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait()

    def terminate(self) -> None:
        """Ask it to end at once."""
        self._process.terminate()

    def end(self, patience: float) -> None:
        """End it by the end of its input, and for certain after ``patience`` seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def failure(message: Mapping[str, Any]) -> DbtuiError:
    """What a message of the kind ``failed`` reports."""
    return DbtuiError(message["title"], message["message"], message["hint"])
