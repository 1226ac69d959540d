"""What a trainer writes into its journal."""

from __future__ import annotations

from typing import Any

from dbtui.core.events import Phase, Started
from dbtui.core.journal import JournalWriter
from dbtui.core.run import Run

NOON = 1_750_000_000.0
STARTED = Started(time=NOON, pid=4321, steps=200)
UNDER_WAY = Phase(time=NOON, name="training", total=200, unit="steps")


def write(run: Run, *events: Any) -> None:
    journal = JournalWriter(run.journal)
    for event in events:
        journal.write(event)
    journal.close()
