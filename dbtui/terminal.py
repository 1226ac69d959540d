"""What the command line shows: narration on standard error, results on standard output."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from dbtui.core.errors import DbtuiError, printable
from dbtui.core.events import Checkpoint, Ended, Event, Log, Phase, Sample, Started, Step
from dbtui.core.run import Run
from dbtui.core.series import Progress
from dbtui.core.units import format_bytes, format_duration, format_rate

QUIET_INTERVAL = 15.0
"""Seconds between two lines of progress where there is no terminal to redraw."""

BAR = 20


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


class RunView:
    """A run's events as they come: one line that is redrawn, and lasting lines above it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.progress = Progress()
        self._phase: Phase | None = None
        self._console = narration()
        self._live = (
            Live(console=self._console, auto_refresh=False, transient=True) if self._console.is_terminal else None
        )
        self._last_quiet = time.monotonic()
        self._last_draw = 0.0

    def __enter__(self) -> RunView:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.update(Text(""), refresh=True)
            self._live.stop()

    def show(self, event: Event | None) -> None:
        """Take in one event, or None for a moment in which nothing happened."""
        if event is not None:
            self.progress.add(event)
        if isinstance(event, Started) and event.resumed_from:
            self._lasting(f"Going on from step {event.resumed_from}.")
        elif isinstance(event, Phase):
            changed = self._phase is None or self._phase.name != event.name
            self._phase = event
            if changed and not self._live:
                self._lasting(self.line())
        elif isinstance(event, Log):
            self._lasting(event.message, "yellow" if event.level == "warning" else "")
        elif isinstance(event, Sample):
            self._lasting(f"Sample at step {event.step}: {self.run.path / event.path}")
        elif isinstance(event, Checkpoint):
            self._lasting(f"Checkpoint at step {event.step}: {format_bytes(event.size)} in {event.seconds:.1f} s")
        elif isinstance(event, Ended):
            return
        self._draw()

    def _lasting(self, text: str, style: str = "") -> None:
        self._console.print(Text(printable(text), style=style))

    def _draw(self) -> None:
        now = time.monotonic()
        if self._live:
            if now - self._last_draw >= 0.25:
                self._last_draw = now
                line = Text(printable(self.line()), no_wrap=True, overflow="ellipsis")
                self._live.update(line, refresh=True)
        elif now - self._last_quiet >= QUIET_INTERVAL:
            self._last_quiet = now
            self._lasting(self.line())

    def line(self) -> str:
        """Where the run stands, in one line."""
        phase, step = self._phase, self.progress.last
        if phase is None:
            return "starting"
        if phase.name != "training" or step is None:
            count = f" {phase.done}/{phase.total} {phase.unit}" if phase.total else ""
            return f"{phase.name} {bar(phase.done, phase.total)}{count}" if count else f"{phase.name} ..."
        return training_line(self.progress, step, self._console.width if self._live else 120)


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
    return "\u2588" * filled + "\u2591" * (length - filled)


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


def width() -> int:
    """Columns of the terminal, 80 where there is none."""
    return Console().width if sys.stdout.isatty() else 80
