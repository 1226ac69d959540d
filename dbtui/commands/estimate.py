"""What a run will need, as a sentence before it starts and as the table of ``dbtui train --estimate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbtui.core.errors import DONE
from dbtui.core.units import format_bytes, spell_duration

if TYPE_CHECKING:
    from dbtui.jobs.begin import Checked
    from dbtui.jobs.forecast import Forecast


COPIES = {
    "gpu": "beside that, on the GPU",
    "machine": "beside that, in the machine's memory",
    "": "has no room beside that: the training waits for the disk",
}
"""Where a checkpoint is set aside, as the table says it."""


def show_estimate(checked: Checked, as_json: bool) -> int:
    """Print what the run will need, part by part."""
    from dbtui.terminal import result, result_json

    forecast = checked.forecast
    budget, room, config = forecast.budget, forecast.room, forecast.config
    if as_json:
        result_json(
            {
                "device": room.name,
                "precision": config.training.precision,
                "optimizer": config.training.optimizer,
                "gradient_checkpointing": config.training.gradient_checkpointing,
                "memory": {"needed": budget.memory_needed, "free": room.free, "total": room.total}
                | {"parts": budget.memory, "peaks": budget.peaks}
                | {"checkpoint_copy": {"bytes": budget.copy, "place": forecast.copy_place() if budget.copy else ""}},
                "disk": {"needed": budget.disk_needed, "left": budget.disk_left, "free": forecast.disk_free}
                | {"parts": budget.disk},
                "seconds": {"total": budget.duration, "parts": budget.seconds},
            }
        )
        return DONE
    for line in _table(forecast):
        result(line)
    return DONE


def _table(forecast: Forecast) -> list[str]:
    budget, room, training = forecast.budget, forecast.room, forecast.config.training
    checkpointing = "with" if training.gradient_checkpointing else "without"
    phase = max(budget.peaks, key=lambda name: budget.peaks[name])
    lines = [
        f"{room.name}: precision {training.precision}, {training.optimizer}, {checkpointing} gradient checkpointing",
        "",
        _row(f"memory while {phase}", format_bytes(budget.memory_needed), f"of {format_bytes(room.free)} free"),
        *[_row(f"  {part}", format_bytes(count)) for part, count in budget.memory.items() if count],
        *[_row(f"while {name}", format_bytes(peak)) for name, peak in budget.peaks.items() if name != phase],
        *(
            [_row("checkpoint being written", format_bytes(budget.copy), COPIES[forecast.copy_place()])]
            if budget.copy
            else []
        ),
        "",
        _row("disk", format_bytes(budget.disk_needed), f"of {format_bytes(forecast.disk_free)} free"),
        *[_row(f"  {part}", format_bytes(count)) for part, count in budget.disk.items() if count],
        _row("stays afterwards", format_bytes(budget.disk_left)),
        "",
        _row("time", _spell(budget.duration)),
        *[_row(f"  {part}", _spell(seconds)) for part, seconds in budget.seconds.items() if seconds != 0],
    ]
    if budget.duration is None:
        lines.append("The time is known once a run of this model on this machine has been through.")
    return lines


def _row(label: str, value: str, note: str = "") -> str:
    return f"{label:<28}{value:>12}  {note}".rstrip()


def _spell(seconds: float | None) -> str:
    return "unknown" if seconds is None else spell_duration(seconds)
