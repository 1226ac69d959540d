"""The export as a process: an order on standard input, events as JSON lines on standard output.

The order is one line with the fields of ``core.export.Order``. Events are those of a run's journal, of the kind
phase; ``partial`` tells the path at which the export comes about; the last is ``done``, ``cancelled`` or
``failed``. The end of the input, like a signal, ends the work: whoever gave the order is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from types import FrameType

from dbtui.core.errors import DONE, FAILED, INTERRUPTED, DbtuiError
from dbtui.core.export import Order
from dbtui.engine.narrator import Narrator
from dbtui.engine.stopping import SIGNALS
from dbtui.engine.wire import Wire


def export_process() -> int:
    """Carry out one order; returns the exit code."""
    wire = Wire()
    for name in SIGNALS:
        signal.signal(name, interrupt)
    try:
        order = Order(**json.loads(sys.stdin.readline()))
        threading.Thread(target=watch_input, daemon=True).start()
        narrator = Narrator(wire)
        narrator.phase("loading the libraries")
        from dbtui.engine.export import export

        done = export(order, narrator, lambda partial: wire.send("partial", path=str(partial)))
    except KeyboardInterrupt:
        wire.send("cancelled")
        return INTERRUPTED
    except DbtuiError as error:
        wire.send("failed", title=error.title, message=error.message, hint=error.hint)
        return FAILED
    except Exception as error:  # the last place where anything can still be said to the person
        from dbtui.engine.failures import explain

        message, hint = explain(error)
        wire.send("failed", title="The export failed", message=f"{message} Nothing of it was left.", hint=hint)
        return FAILED
    let_signals_pass()
    wire.send("done", **asdict(done))
    return DONE


def interrupt(number: int, frame: FrameType | None) -> None:
    let_signals_pass()  # what is left to do is to tidy up
    raise KeyboardInterrupt


def let_signals_pass() -> None:
    for name in SIGNALS:
        signal.signal(name, signal.SIG_IGN)


def watch_input() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
