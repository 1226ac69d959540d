"""A run in words: its progress, its figures, how it ended. Pure functions from a snapshot to styled text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from textual.content import Content

from dbtui.app.snapshot import Snapshot
from dbtui.app.wording import in_app
from dbtui.core.errors import printable
from dbtui.core.events import Phase
from dbtui.core.history import Note
from dbtui.core.run import LOST, State
from dbtui.core.units import format_bytes, format_duration, format_rate

COLOURS = {"info": "", "good": "$success", "warning": "$warning", "error": "$error"}

ENDS = {
    "done": ("\u2713", "$success"),
    "stopped": ("\u25a0", "$warning"),
    "failed": ("\u2717", "$error"),
    "lost": ("?", "$warning"),
}
"""The mark and the colour of each way to end."""

SHORTEST = 8
"""Cells of a bar that can still be read."""


def meter(share: float, width: int, colour: str = "$accent") -> Content:
    """A bar of ``width`` cells, filled to ``share``, with half cells at its tip; the rest is thin, for want of colours."""
    halves = round(min(max(share, 0.0), 1.0) * width * 2)
    full, half = divmod(halves, 2)
    return Content.assemble(
        ("\u2501" * full + ("\u2578" if half else ""), colour), ("\u2500" * (width - full - half), "$plot-grid")
    )


def progress(snapshot: Snapshot, width: int) -> Content:
    """One line: what is being done, a bar, and how much of it is done."""
    if snapshot.read < 1:
        return _bar("reading the journal", snapshot.read, "", width)
    phase = snapshot.phase
    if snapshot.state.name != "live" or phase is None:
        name = "starting" if snapshot.state.name in ("live", "new") else snapshot.state.name
        share = snapshot.step / snapshot.steps if snapshot.steps else 0
        return _bar(name, share, _steps(snapshot), width, ENDS.get(name, ("", "$accent"))[1])
    if phase.name == "training":
        return _bar("training", snapshot.step / max(1, snapshot.steps), _steps(snapshot), width)
    return work(phase, snapshot.speed, width)


def work(phase: Phase, speed: float, width: int) -> Content:
    """One line: a phase, and how far and how fast (units a second) it goes, where that can be counted and has room."""
    if not phase.total:
        return Content.assemble(" ", (f"{phase.name} \u2026", "bold"))
    amount, rate, left = _amount(phase, speed)
    for words in ((amount, rate, left), (amount, left), (amount,)):
        line = _bar(phase.name, phase.done / phase.total, "  ".join(filter(None, words)), width)
        if line.cell_length <= width:
            break
    return line


def _bar(name: str, share: float, amount: str, width: int, colour: str = "$accent") -> Content:
    head, tail = f" {name}  ", f"  {share:4.0%}  {amount} "
    room = max(SHORTEST, width - len(head) - len(tail))
    return Content.assemble((head, "bold"), meter(share, room, colour), tail)


def _steps(snapshot: Snapshot) -> str:
    return f"{snapshot.step:,}/{snapshot.steps:,} steps" if snapshot.steps else ""


def _amount(phase: Phase, speed: float) -> tuple[str, str, str]:
    """How much of a phase is done, in its unit, how fast it goes and how long it still takes; empty where unknown."""
    left = f"{format_duration((phase.total - phase.done) / speed)} left" if speed > 0 else ""
    if phase.unit == "bytes":
        rate = f"{format_bytes(speed)}/s" if speed > 0 else ""
        return f"{format_bytes(phase.done)} of {format_bytes(phase.total)}", rate, left
    return f"{phase.done:,}/{phase.total:,} {phase.unit}", "", left


def figures(snapshot: Snapshot, width: int) -> Content:
    """Two lines: names above, values below, as many as fit."""
    last, live = snapshot.last, snapshot.state.name == "live"
    values = [
        ("loss", f"{snapshot.loss:.4f}" if last else "\u2013"),
        ("learning rate", f"{last.learning_rate:.2e}" if last else "\u2013"),
        ("gradient", f"{last.grad_norm:.3g}" if last else "\u2013"),
        ("speed", format_rate(snapshot.pace) if last else "\u2013"),
        ("ETA", format_duration(snapshot.left) if live and last else "\u2013"),
        ("elapsed", format_duration(snapshot.elapsed)),
        ("epoch", f"{last.epoch:.1f}" if last else "\u2013"),
    ]
    if last and last.memory:
        values.append(("peak memory", format_bytes(last.memory)))
    rooms = [max(len(name), len(value), 8) + 2 for name, value in values]  # 8: so that they do not move
    while sum(rooms) >= width and len(rooms) > 1:
        rooms.pop()
    spare = (width - 1 - sum(rooms)) // len(rooms)
    shown = list(zip(values, [room + max(0, spare) for room in rooms], strict=False))
    names = "".join(f"{name:<{room}}" for (name, _), room in shown)
    numbers = "".join(f"{value:<{room}}" for (_, value), room in shown)
    return Content.assemble((f" {names}\n", "$text-muted"), (f" {numbers}", "bold"))


def standing(snapshot: Snapshot, paused: bool, stopping: bool, speed: float = 0) -> Content:
    """The run's state in the top line; ``speed`` is that of a replay."""
    if paused:
        return Content.styled("drawing is paused: space ", "bold $warning")
    if stopping and snapshot.state.name == "live":
        return Content.styled("\u25a0 stopping \u2026 ", "bold $warning")
    if snapshot.state.name == "live" and speed:
        return Content.styled(f"\u25b6 replay, {speed:g} times as fast ", "bold $primary")
    if snapshot.state.name == "live":
        return Content.assemble(("\u25cf ", "$success"), ("live ", "bold"), (f"pid {snapshot.pid} ", "$text-muted"))
    mark, colour = ENDS.get(snapshot.state.name, ("\u25cb", "$text-muted"))
    return Content.styled(f"{mark} {snapshot.state.name} ", f"bold {colour}")


def ending(state: State, kept: int, replayed: bool = False) -> tuple[str, Content]:
    """How a run ended, as a CSS class and a text; both empty while it has not. ``kept`` is its last checkpoint's step."""
    if replayed and state.over:
        said = printable(state.message) or state.name.capitalize()
        return f"-{state.name}", Content.assemble(("The replay is over. ", "bold"), f"{said} q goes to the library.")
    if state.name == "done":
        text = Content.assemble(
            ("\u2713 Taught. ", "bold $success"),
            ("enter", "bold $primary"),
            f" draws with the concept {printable(state.concept)!r}; q goes to the library.",
        )
        return "-done", text
    if state.name in ("stopped", "failed", "lost"):
        colour = "$error" if state.name == "failed" else "$warning"
        message = state.message or (LOST if state.name == "lost" else "")
        hint = state.hint if state.name == "failed" else ""
        title = state.name.capitalize()
        said = printable(message)
        rest = said.removeprefix(title) if said.startswith(title) else f". {said}"
        words = [Content.assemble((title, f"bold {colour}"), rest)]
        if hint:
            words.append(Content(printable(in_app(hint))))
        on = (
            f"c goes on from the checkpoint of step {kept:,}" if kept else "c begins anew, since there is no checkpoint"
        )
        words.append(Content.styled(f"{on} \u00b7 l shows all that was said", "$primary"))
        return f"-{state.name}", Content("\n").join(words)
    return "", Content("")


def full_disk(folder: Path) -> Content:
    """Why nothing moves although the trainer lives."""
    text = (
        f"Nothing fits into {printable(folder)} any more. The training goes on, and what it did meanwhile is shown "
        "once there is room; checkpoints and samples need some, too."
    )
    return Content.assemble(("The disk is full. ", "bold $warning"), text)


def tail(notes: Sequence[Note], rows: int) -> Content:
    """The newest sentences, one to a line."""
    return Content("\n").join(note_line(note) for note in notes[-rows:]) if rows > 0 else Content("")


def note_line(note: Note) -> Content:
    clock = time.strftime("%H:%M:%S", time.localtime(note.time))
    text = printable(note.text).replace("\n", " ")
    return Content.assemble((f"{clock}  ", "$text-muted"), (text, COLOURS.get(note.level, "")))
