"""Waiting for room on a disk: what was learned is not given up because others have filled it."""

from __future__ import annotations

import time
from pathlib import Path

from dbtui.core.errors import printable
from dbtui.core.units import format_bytes
from dbtui.core.weights import free_space
from dbtui.engine.narrator import Narrator
from dbtui.engine.stopping import StopFlag

INTERVAL = 1.0
"""Seconds between two looks."""


def await_room(folder: Path, needed: int, narrator: Narrator, stop: StopFlag) -> bool:
    """Wait until ``needed`` bytes fit ``folder``; False at once if it is not room that is missing, or if it is to end."""
    free = free_space(folder)
    if free >= needed:
        return False
    narrator.log(
        f"The disk of {printable(folder)} is full: {format_bytes(needed)} are needed and {format_bytes(free)} are free. "
        "What was learned is kept in memory until there is room; stopping the run gives it up.",
        "warning",
    )
    while (free := free_space(folder)) < needed:
        narrator.phase("waiting for room on the disk", free, needed, "bytes")
        if stop:
            return False
        time.sleep(INTERVAL)
    return True
