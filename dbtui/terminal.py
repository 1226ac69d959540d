"""What the command line shows: narration on standard error, results on standard output."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from dbtui.core.errors import DbtuiError, printable
from dbtui.core.events import Checkpoint, Ended, Event, Log, Phase, Sample, Started, Step
from dbtui.core.meter import Meter
from dbtui.core.run import Run
from dbtui.core.series import Progress
from dbtui.core.units import format_bytes, format_duration, format_rate

QUIET_INTERVAL = 15.0
"""Seconds between two lines of progress where there is no terminal to redraw."""

BAR = 20

BLOCKS, PLAIN = "\u2588\u2591", "#-"
"""What is done and what is to come of a bar; plain for an output that has no characters beyond ASCII."""


def narration() -> Console:
    """Standard error, for people."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str, style: str = "") -> None:
    """A sentence on standard error."""
    narration().print(Text(printable(text), style=style))


def result(text: str) -> None:
    """A line on standard output."""
    sys.stdout.write(printable(text) + "\n")


def result_json(value: Any) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def show_error(error: DbtuiError, as_json: bool = False) -> None:
    """An error in words: what happened, what was kept, what to do."""
    if as_json:
        result_json({"error": {"title": error.title, "message": error.message, "hint": error.hint}})
    console = narration()
    console.print(f"[bold red]{escape(printable(error.title))}[/]")
    console.print(Text(printable(error.message)))
    if error.hint:
        console.print(Text(printable(error.hint), style="cyan"))


class StatusLine:
    """A line on standard error that is redrawn a few times a second; without a terminal, printed now and then."""

    def __init__(self) -> None:
        self.console = narration()
        self._live = (
            Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else None
        )
        self._interval = 0.25 if self._live else QUIET_INTERVAL
        self._last = 0.0 if self._live else time.monotonic()

    @property
    def is_live(self) -> bool:
        return self._live is not None

    def show(self, text: Callable[[], str]) -> None:
        """Show what ``text`` returns, if it is time."""
        now = time.monotonic()
        if now - self._last < self._interval:
            return
        self._last = now
        if self._live:
            self._live.start()
            self._live.update(Text(printable(text()), no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            self.lasting(text())

    def lasting(self, text: str, style: str = "") -> None:
        """A line that stays."""
        self.console.print(Text(printable(text), style=style))

    def close(self) -> None:
        """Take the line away."""
        if self._live and self._live.is_started:
            self._live.update(Text(""), refresh=True)
            self._live.stop()


class PhaseView:
    """The phases of some work as they come, in a line on standard error."""

    def __init__(self) -> None:
        self._meter, self._status = Meter(), StatusLine()

    def __enter__(self) -> PhaseView:
        return self

    def __exit__(self, *_: object) -> None:
        self._status.close()

    def show(self, phase: Phase) -> None:
        """Take in one event."""
        changed = self._meter.phase is None or self._meter.phase.name != phase.name
        self._meter.add(phase)
        if changed and not self._status.is_live:
            self._status.lasting(phase_line(self._meter))
        self._status.show(lambda: phase_line(self._meter))


class RunView:
    """A run's events as they come: one line that is redrawn, and lasting lines above it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.progress = Progress()
        self._meter = Meter()
        self._status = StatusLine()

    def __enter__(self) -> RunView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.close()

    def show(self, event: Event | None) -> None:
        """Take in one event, or None for a moment in which nothing happened."""
        if event is not None:
            self.progress.add(event)
        if isinstance(event, Started) and event.resumed_from:
            self._status.lasting(f"Going on from step {event.resumed_from}.")
        elif isinstance(event, Phase):
            changed = self._meter.phase is None or self._meter.phase.name != event.name
            self._meter.add(event)
            if changed and not self._status.is_live:
                self._status.lasting(self.line())
        elif isinstance(event, Log):
            self._status.lasting(event.message, "yellow" if event.level == "warning" else "")
        elif isinstance(event, Sample):
            self._status.lasting(f"Sample at step {event.step}: {self.run.path / event.path}")
        elif isinstance(event, Checkpoint):
            self._status.lasting(
                f"Checkpoint at step {event.step}: {format_bytes(event.size)} in {event.seconds:.1f} s"
            )
        elif isinstance(event, Ended):
            return
        self._status.show(self.line)

    def line(self) -> str:
        """Where the run stands, in one line."""
        phase, step = self._meter.phase, self.progress.last
        if phase is None:
            return "starting"
        if phase.name != "training" or step is None or not self.progress.pace:
            return phase_line(self._meter)  # of a run that was just resumed, the last step is an earlier trainer's
        return training_line(self.progress, step, self._status.console.width if self._status.is_live else 120)


def phase_line(meter: Meter) -> str:
    """What is being done and how far it is; for bytes, how fast and for how long."""
    phase = meter.phase
    if phase is None or not phase.total:
        return f"{phase.name if phase else 'starting'} ..."
    line = f"{phase.name} {bar(phase.done, phase.total)}"
    if phase.unit != "bytes":
        return f"{line} {phase.done}/{phase.total} {phase.unit}"
    pace = f"  {format_bytes(meter.rate)}/s  ETA {format_duration(meter.left)}" if meter.rate else ""
    return f"{line} {format_bytes(phase.done)} of {format_bytes(phase.total)}{pace}"


def training_line(progress: Progress, step: Step, columns: int) -> str:
    """Where the training stands; the bar takes what the numbers leave of ``columns``."""
    memory = f"  {format_bytes(step.memory)}" if step.memory else ""
    numbers = (
        f"{step.step}/{progress.steps}  loss {progress.loss:.4f} ({step.loss:.4f})  lr {step.learning_rate:.1e}  "
        f"{format_rate(progress.pace)}  ETA {format_duration(progress.left)}{memory}"
    )
    room = min(BAR, columns - len("training  ") - len(numbers) - 1)
    return f"training {bar(step.step, progress.steps, room)} {numbers}" if room >= 4 else f"step {numbers}"


def bar(done: int, total: int, length: int = BAR) -> str:
    filled = round(length * done / total) if total else 0
    encoding = getattr(sys.__stderr__, "encoding", "utf-8")  # not of the stand-in that redraws a line
    done_mark, mark = BLOCKS if encoding.lower().startswith("utf") else PLAIN
    return done_mark * filled + mark * (length - filled)


def ask(question: str, answers: dict[str, str], default: str) -> str:
    """One of the keys of ``answers``; ``default`` on an empty line or where nobody can answer."""
    if not sys.stdin.isatty():
        return default
    choices = ", ".join(f"[{key}] {words}" for key, words in answers.items())
    console = narration()
    while True:
        console.print(Text(f"{question} {choices} ({default}): "), end="")
        line = sys.stdin.readline()
        if not line:
            return default
        word = line.strip().lower()[:1] or default
        if word in answers:
            return word


def drain_input() -> None:
    """Forget what was typed before the question was asked."""
    while sys.stdin.isatty() and select.select([sys.stdin], [], [], 0)[0]:
        os.read(sys.stdin.fileno(), 1024)
