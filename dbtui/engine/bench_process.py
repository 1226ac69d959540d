"""The measuring as a process: an order on standard input, rows as JSON lines on standard output.

The last line is ``done`` or ``failed``. The end of the input, like a signal, ends the work.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from dataclasses import asdict

from dbtui.core.benchmark import Order
from dbtui.core.errors import DONE, FAILED, INTERRUPTED, DbtuiError
from dbtui.engine.export_process import interrupt, let_signals_pass, watch_input
from dbtui.engine.stopping import SIGNALS
from dbtui.engine.wire import Wire


def bench_process() -> int:
    """Measure what one order asks for; returns the exit code."""
    wire = Wire()
    for name in SIGNALS:
        signal.signal(name, interrupt)
    try:
        order = Order(**json.loads(sys.stdin.readline()))
        threading.Thread(target=watch_input, daemon=True).start()
        from dbtui.engine.bench import bench
        from dbtui.engine.models import quiet_libraries

        quiet_libraries()
        import torch

        from dbtui.engine.machine import device_words

        wire.send("device", words=device_words("cuda" if torch.cuda.is_available() else "cpu"), torch=torch.__version__)
        for row in bench(order, lambda words: wire.send("measuring", words=words)):
            wire.send("row", **asdict(row))
    except KeyboardInterrupt:
        return INTERRUPTED
    except DbtuiError as error:
        wire.send("failed", title=error.title, message=error.message, hint=error.hint)
        return FAILED
    except Exception as error:  # the last place where anything can still be said to the person
        from dbtui.engine.failures import explain

        message, hint = explain(error)
        wire.send("failed", title="The speed could not be measured", message=message, hint=hint)
        return FAILED
    let_signals_pass()
    wire.send("done")
    return DONE
