"""A training as it goes, or as it went: chart, figures, samples, GPUs, and what the trainer says."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from dbtui.app import tasks
from dbtui.app.bridge import follow_run, watch_gpus
from dbtui.app.dialogs import ConfirmDialog, PromptDialog, TextDialog
from dbtui.app.keys import bindings
from dbtui.app.messages import GpusRead, RunChanged
from dbtui.app.screens.base import BaseScreen
from dbtui.app.screens.photo import PhotoDialog
from dbtui.app.snapshot import Snapshot
from dbtui.app.widgets import run_words
from dbtui.app.widgets.chart import Chart
from dbtui.app.widgets.gpu_panel import GpuPanel
from dbtui.app.widgets.sample_panel import SamplePanel
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.run import Run
from dbtui.jobs.follow import Follower
from dbtui.jobs.replay import Replay

NONE = np.empty(0)
SHORT = 40.0
"""Steps that a chart shows at least: a training's first points should not fill it."""

LOG_TAIL = 65536
"""Bytes of the trainer's raw output that are shown."""


class DashboardScreen(BaseScreen):
    """One run."""

    KEYS: ClassVar[str] = "dashboard"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("dashboard")]

    def __init__(self, run: Run, replay: Replay | None = None) -> None:
        """``replay``: the run is seen again from its journal, and nothing can be asked of a trainer."""
        super().__init__()
        self.training = run
        self._replay = replay
        self.snapshot: Snapshot | None = None
        self._title = run.id
        self._about, self._prompt, self._every = "", "", 0
        self._paused = self._stopping = False

    def body(self) -> ComposeResult:
        yield Static(id="progress")
        yield Static(id="figures")
        yield Static(id="ending")
        with Horizontal(id="panels"):
            with Vertical(id="curves"):
                yield Chart(
                    "loss", words=("smoothed", "this step"), hint="The loss appears with the first step.", id="loss"
                )
                with Horizontal(id="small-curves"):
                    yield Chart("learning rate", axis=False, id="rate")
                    yield Chart("gradient norm", axis=False, id="norm")
            with Vertical(id="side"):
                yield SamplePanel(id="sample")
                yield GpuPanel(id="gpus")
        yield Static(id="notes")

    def on_mount(self) -> None:
        self.query_one("#notes").border_title = "log"
        self._read_config()
        self.say_where(self._title)
        self.start(partial(follow_run, self, self._replay or Follower(self.training)), "run")
        self.start(partial(watch_gpus, self), "gpus")

    def _read_config(self) -> None:
        """The concept's name and what it is taught on; a run whose config is damaged can still be looked at."""
        try:
            config = self.training.config
        except DbtuiError as error:
            self._about = f"config.toml: {error.message}"
            return
        self._title = config.concept.name or self.training.id
        self._prompt, self._every = config.concept.prompt, config.sampling.every
        self._about = f"{config.concept.prompt} \u00b7 {config.model.base.rstrip('/').rsplit('/', 1)[-1]}"

    # What comes in

    @on(RunChanged)
    def _changed(self, message: RunChanged) -> None:
        before, self.snapshot = self.snapshot, message.snapshot
        if before is None or _standing(before) != _standing(self.snapshot):
            self._stopping = self._stopping and self.snapshot.state.name == "live"
            self._show_state()
        self._draw_if_seen()

    def on_screen_resume(self) -> None:
        self._draw_if_seen()

    def _draw_if_seen(self) -> None:
        """Under a dialog it rests: a change there would have the whole window drawn again."""
        if not self._paused and self.is_current:
            self._draw()

    @on(GpusRead)
    def _gpus(self, message: GpusRead) -> None:
        if not self._paused and self.is_current:
            self.query_one(GpuPanel).show(message.gpus, message.reason)

    @on(Chart.Refused)
    def _refused(self, message: Chart.Refused) -> None:
        self.notify(message.words, severity="warning")

    def on_resize(self) -> None:
        """The top line, too, has more or less room now."""
        self.call_after_refresh(self._show_state)

    def _draw(self) -> None:
        snapshot = self.snapshot
        if snapshot is None:
            return
        width = self.size.width
        self._update("#progress", run_words.progress(snapshot, width))
        self._update("#figures", run_words.figures(snapshot, width))
        notes = self.query_one("#notes", Static)
        self._update("#notes", run_words.tail(snapshot.notes, notes.content_size.height))
        self.query_one(SamplePanel).show(self.training.path, snapshot.samples, _next_sample(snapshot, self._every))
        self._draw_curves(snapshot)

    def _draw_curves(self, snapshot: Snapshot) -> None:
        step, loss, smooth, rate, norm = (np.frombuffer(column) for column in snapshot.curves.all())
        end = horizon(snapshot)
        self.query_one("#loss", Chart).draw(step, loss, smooth, end)
        self.query_one("#rate", Chart).draw(step, NONE, rate, end)
        self.query_one("#norm", Chart).draw(step, norm, NONE, end)

    def _update(self, selector: str, content: Content) -> None:
        """Change a text, if it differs: whatever is updated is sent to the terminal again."""
        widget = self.query_one(selector, Static)
        if widget.content != content:
            widget.update(content, layout=False)

    def _show_state(self) -> None:
        """The top line, the end's message, and the keys that make sense now."""
        snapshot = self.snapshot
        if snapshot is None:
            return
        standing = run_words.standing(snapshot, self._paused, self._stopping, self._replay.speed if self._replay else 0)
        about = Content.styled(f"{printable(self._about)}   ", "$text-muted")
        wide = self.size.width >= 100
        self.say_where(self._title, facts=Content.assemble(about, standing) if wide else standing)
        name, words = run_words.ending(snapshot.state, snapshot.kept, self._replay is not None)
        if snapshot.full:
            name, words = "-full", run_words.full_disk(self.training.path)
        self.query_one("#ending", Static).update(words)
        for state in ("-done", "-stopped", "-failed", "-lost", "-full"):
            self.set_class(state == name, state)
        self.refresh_bindings()
        self.call_after_refresh(self._draw)

    # What can be done

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Requests need a trainer that takes them; resuming needs that there is none."""
        state = self.snapshot.state.name if self.snapshot else ""
        if self._replay is not None and action in ("stop", "save", "sample", "resume", "prompt"):
            return False
        if action == "prompt":
            return state == "done"
        if action in ("stop", "save", "sample"):
            return state == "live"
        if action == "resume":
            return state in ("stopped", "failed", "lost", "new")
        if action == "pause":
            return state == "live" or self._paused
        if action == "scrub":
            return self.snapshot is not None and len(self.snapshot.samples) > 1
        if action == "zoom_sample":
            return self.snapshot is not None and bool(self.snapshot.samples)
        return True

    @property
    def _loss(self) -> Chart:
        return self.query_one("#loss", Chart)

    @property
    def _charts(self) -> list[Chart]:
        return list(self.query(Chart))

    def action_leave(self) -> None:
        live = self._replay is None and self.snapshot is not None and self.snapshot.state.name == "live"
        self.dismiss(f"The training of {self._title} goes on." if live else "")

    def action_stop(self) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._stopping = True
                self._ask("stop", "It stops at its next step.")
                self._show_state()

        text = "It stops at its next step and keeps a checkpoint, from which it can go on later."
        self.app.push_screen(ConfirmDialog(f"Stop teaching {self._title}?", text, "Stop"), answered)

    def action_prompt(self) -> None:
        if self.snapshot is not None:
            self.start(partial(tasks.open_concept, self, self.snapshot.state.concept), "task")

    def action_save(self) -> None:
        self._ask("save", "A checkpoint will be written at the next step.")

    def action_sample(self) -> None:
        def answered(prompt: str | None) -> None:
            if prompt:
                self._ask("sample", "A sample will be drawn at the next step.", prompt=prompt)

        samples = self.snapshot.samples if self.snapshot else ()
        prompt = next(iter(samples[-1].prompts), "") if samples else self._prompt
        text = "It is drawn from the weights as they are; the training waits meanwhile."
        self.app.push_screen(PromptDialog("Sample now", text, prompt), answered)

    def action_resume(self) -> None:
        self.notify("Taking the training up \u2026")
        self.start(partial(tasks.resume_run, self, self.training), "task")

    def _ask(self, request: str, words: str, **details: str) -> None:
        self.start(partial(tasks.ask, self, self.training, request, words, **details), "task")

    def action_scrub(self, count: int) -> None:
        self.query_one(SamplePanel).scrub(count)

    def action_zoom_sample(self) -> None:
        found = self.query_one(SamplePanel).current
        if found is not None:
            self.app.push_screen(PhotoDialog(*found, self._turn))

    def _turn(self, count: int) -> tuple[Path, str] | None:
        panel = self.query_one(SamplePanel)
        panel.scrub(count)
        return panel.current

    def action_log_scale(self) -> None:
        self._loss.toggle_log()

    def action_cursor(self, columns: int) -> None:
        self._loss.move_cursor(columns)

    def action_zoom(self, factor: float) -> None:
        self._loss.zoom(factor)

    def action_pan(self, direction: int) -> None:
        self._loss.pan(direction * 0.25)

    def action_whole(self) -> None:
        self._loss.whole()

    def action_chart_only(self) -> None:
        self.toggle_class("-chart-only")

    def action_pause(self) -> None:
        self._paused = not self._paused
        self._show_state()

    def action_log(self) -> None:
        """What was said, and then the trainer's raw output."""
        notes = self.snapshot.notes if self.snapshot else ()
        lines = [run_words.note_line(note) for note in notes]
        raw = _last_bytes(self.training)
        if raw:
            lines += [Content(""), Content.styled(str(self.training.log), "bold"), Content(raw)]
        self.app.push_screen(TextDialog("log", Content("\n").join(lines), end=True))


def horizon(snapshot: Snapshot) -> float:
    """The last step that the charts show. It doubles, so that a new point redraws a cell and seldom the chart."""
    if snapshot.state.name != "live":
        return max(snapshot.step, 1)
    end = SHORT
    while end < snapshot.step:
        end *= 2
    return min(end, snapshot.steps) if snapshot.steps else end


def _standing(snapshot: Snapshot) -> tuple[str, str, int, int, bool]:
    """What the top line, the end's message and the keys depend on."""
    return snapshot.state.name, snapshot.state.message, snapshot.pid, min(len(snapshot.samples), 2), snapshot.full


def _last_bytes(run: Run) -> str:
    try:
        with open(run.log, "rb") as file:
            file.seek(max(0, run.log.stat().st_size - LOG_TAIL))
            return printable(file.read().decode("utf-8", "replace")).strip()
    except OSError:
        return ""


def _next_sample(snapshot: Snapshot, every: int) -> int:
    """The step of the next that comes by itself; 0 if none does."""
    due = (snapshot.step // every + 1) * every if every else 0
    due = min(due, snapshot.steps or due)
    return due if due > snapshot.step and not snapshot.state.over else 0
