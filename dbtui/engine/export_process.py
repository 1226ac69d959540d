"""The export as a process. The order has the fields of ``core.export.Order``; the events are a journal's phases, and
``partial``, which tells the path at which the export comes about.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dbtui.core.export import Order
from dbtui.engine.narrator import Narrator
from dbtui.engine.order import carry_out
from dbtui.engine.wire import Wire


def export_process() -> int:
    """Carry out one export; returns the exit code."""
    return carry_out(_export, "The export failed", "Nothing of it was left.")


def _export(order: dict[str, Any], wire: Wire) -> dict[str, Any]:
    narrator = Narrator(wire)
    narrator.phase("loading the libraries")
    from dbtui.engine.export import export

    return asdict(export(Order(**order), narrator, lambda partial: wire.send("partial", path=str(partial))))
