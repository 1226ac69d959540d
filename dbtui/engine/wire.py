"""What an engine process tells the one that started it: JSON lines on standard output."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from dbtui.core.events import Event, encode


class Wire:
    """Standard output for messages alone; what libraries print goes to standard error."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
        os.dup2(2, 1)

    def send(self, kind: str, **values: Any) -> None:
        """Send a message of a ``kind``."""
        self._line(json.dumps({**values, "kind": kind}))

    def write(self, event: Event) -> None:
        """Send an event of the journal's vocabulary."""
        self._line(encode(event))

    def _line(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more; the end of the input says that too
            self._out.write(text + "\n")
            self._out.flush()
