"""A process that carries out one order: a line on standard input, events as JSON lines on standard output.

The last event is ``done``, ``cancelled`` or ``failed``. The end of the input, like a signal, ends the work: whoever
gave the order is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from dbtui.core.errors import DONE, FAILED, INTERRUPTED, DbtuiError
from dbtui.engine.stopping import SIGNALS
from dbtui.engine.wire import Wire

Work = Callable[[dict[str, Any], Wire], dict[str, Any]]
"""Called with the order; what it returns goes with ``done``. Raises DbtuiError for what a person can mend."""


def carry_out(work: Work, failed: str, kept: str = "") -> int:
    """Carry out one order; returns the exit code. ``failed`` and ``kept`` tell what came of an unforeseen error."""
    wire = Wire()
    for name in SIGNALS:
        signal.signal(name, _interrupt)
    try:
        order = json.loads(sys.stdin.readline())
        threading.Thread(target=_watch_input, daemon=True).start()
        done = work(order, wire)
    except KeyboardInterrupt:
        wire.send("cancelled")
        return INTERRUPTED
    except DbtuiError as error:
        wire.send("failed", title=error.title, message=error.message, hint=error.hint)
        return FAILED
    except Exception as error:  # the last place where anything can still be said to the person
        from dbtui.engine.failures import explain

        message, hint = explain(error)
        wire.send("failed", title=failed, message=f"{message} {kept}".strip(), hint=hint)
        return FAILED
    _let_signals_pass()
    wire.send("done", **done)
    return DONE


def _interrupt(number: int, frame: FrameType | None) -> None:
    _let_signals_pass()  # what is left to do is to tidy up
    raise KeyboardInterrupt


def _let_signals_pass() -> None:
    for name in SIGNALS:
        signal.signal(name, signal.SIG_IGN)


def _watch_input() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
