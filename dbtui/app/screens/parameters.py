"""The second step to a new concept: every parameter with its help, what the run will need, and the start."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from dbtui.app.dialogs import ConfirmDialog, TextDialog
from dbtui.app.draft import Draft
from dbtui.app.keys import bindings
from dbtui.app.messages import Foreseen, ReadyToStart, Starting
from dbtui.app.outlook import PHOTOS, Outlook, begin_checked, check_draft
from dbtui.app.screens.base import BaseScreen
from dbtui.app.widgets.choice import Choice
from dbtui.app.widgets.field_help import FieldHelp
from dbtui.app.widgets.field_row import FieldRow, row_id
from dbtui.app.wording import in_app
from dbtui.core.config import FIELDS, SECTIONS
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.fields import Value
from dbtui.core.presets import PRESETS
from dbtui.core.units import plural
from dbtui.jobs.begin import choose_name
from dbtui.jobs.forecast import DoesNotFitError

FIRST = ("concept.name", "concept.prompt", "prior.class_prompt", "prior.enabled", "prior.class_images")
"""What is told about the subject, before all that is about learning it."""

TITLES = {
    "model": "Model",
    "data": "Photos",
    "prior": "Prior preservation",
    "training": "Training",
    "sampling": "Samples",
}

PAUSE = 0.4
"""Seconds without a key after which the forecast is made anew."""


def groups() -> dict[str, list[str]]:
    """The keys of the form by the title that they stand under."""
    form = {"Subject": list(FIRST)}
    for section, title in TITLES.items():
        form[title] = [spec.key for spec in SECTIONS[section] if spec.key not in (*FIRST, *PHOTOS)]
    return form


class PresetRow(Container):
    """Left as the other rows are: by up, down and enter."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("field")]


class ParametersScreen(BaseScreen):
    """Shows the draft's parameters; all that is typed is in the draft at once."""

    KEYS: ClassVar[str] = "parameters"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("parameters")]

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self.draft = draft
        self._outlook = Outlook()
        self._number = 0
        self._pause: Timer | None = None
        self._blamed: dict[str, DbtuiError] = {}
        self._change: dict[str, Value] = {}
        self._starting = False
        self._texts: dict[str, str] = {}
        """The draft's, as they were shown last."""

    def body(self) -> ComposeResult:
        texts = self._texts = self.draft.texts()
        with Container(id="parameters"):
            with VerticalScroll(id="form", can_focus=False):
                with PresetRow(id="preset-row"):
                    yield Static("  Preset", classes="label")
                    yield Choice({name: name for name in PRESETS}, self.draft.effective_preset, id="preset")
                for title, keys in groups().items():
                    advanced = all(FIELDS[key].advanced for key in keys)
                    yield Static(title, classes="group -advanced" if advanced else "group")
                    for key in keys:
                        yield FieldRow(FIELDS[key], texts[key])
            yield FieldHelp(id="help")
        yield Static(id="outlook")

    def on_mount(self) -> None:
        self.query_one("#help").border_title = "help"
        self._show_all()
        self._row("concept.prompt").editor.focus()
        self._foresee()

    def on_screen_resume(self) -> None:
        facts = self.draft.folder.name if self.draft.folder and not self.draft.urls else "from the web"
        self.say_where("Photos", "Parameters", facts=Content.styled(f"{printable(facts)} ", "$text-muted"))

    # The form

    @on(FieldRow.Changed)
    def _typed(self, message: FieldRow.Changed) -> None:
        self.draft.type(message.key, message.text)
        self._changed(message.key)

    @on(Choice.Changed, "#preset")
    def _preset_chosen(self, message: Choice.Changed) -> None:
        self.draft.preset = message.value
        self._changed()

    def _changed(self, typed: str = "") -> None:
        """Show what follows from a change, and think about it once nobody types."""
        self._blamed.clear()
        self._show_all(typed)
        self._number += 1
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(PAUSE, self._foresee)

    def _show_all(self, typed: str = "") -> None:
        """``typed`` is the field that a person is at: it may be ahead of the draft, and keeps what it has."""
        draft, texts, problems = self.draft, self.draft.texts(), self.draft.problems()
        self.query_one("#preset", Choice).value = draft.effective_preset
        for row in self.query(FieldRow):
            key = row.spec.key
            bad, blamed = problems.get(key), self._blamed.get(key)
            words = bad.message if bad else f"{blamed.title}." if blamed else ""
            if key != typed and texts[key] != self._texts[key]:
                row.write(texts[key])
            row.show(key in draft.typed, words)
        self._texts = texts
        self._show_help()

    def _show_help(self) -> None:
        panel, row = self.query_one(FieldHelp), self._focused_row()
        if row is not None:
            spec, reference = row.spec, self.draft.reference()
            panel.show(spec, self.draft.effective_preset, spec.format(reference[spec.key]))
        elif self.focused is not None and self.focused.id == "preset":
            panel.show_preset(self.draft.effective_preset)

    def _focused_row(self) -> FieldRow | None:
        nodes = self.focused.ancestors if self.focused is not None else []
        return next((node for node in nodes if isinstance(node, FieldRow)), None)

    def _row(self, key: str) -> FieldRow:
        return self.query_one(f"#{row_id(key)}", FieldRow)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self._show_help()
        self.refresh_bindings()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        if self._row("model.base") in event.widget.ancestors:
            self._foresee()

    # What it will need

    def _foresee(self) -> None:
        problems = self.draft.problems()
        self._number += 1
        self._change = {}
        if problems:
            names = ", ".join(FIELDS[key].label for key in problems)
            self._say(Content(f"{plural(len(problems), 'parameter')} to mend: {names}."), "-error")
        else:
            row = self._focused_row()
            ask = row is None or row.spec.key != "model.base"
            work = partial(self._outlook.foresee, self, self._number, self.draft.config(), ask)
            self.start(work, "outlook")
        self.refresh_bindings()

    @on(Foreseen)
    def _foreseen(self, message: Foreseen) -> None:
        if message.number != self._number or self._starting:
            return
        problem = message.problem
        if message.forecast is None and problem is None:
            self._say(Content("Asking the hub for the base model \u2026"))
            return
        self._blamed = {message.key: problem} if problem is not None and message.key else {}
        self._change = dict(problem.change) if isinstance(problem, DoesNotFitError) else {}
        if message.forecast is not None:
            self._say(Content.assemble(("Needs ", "bold"), f"{message.forecast.words()}."), "-good")
        elif problem is not None and message.key:
            words = printable(in_app(f"{problem.message} {problem.hint}"))
            self._say(Content.assemble((f"{FIELDS[message.key].label}: ", "bold"), words), "-error")
        elif problem is not None:
            self._say(self._in_the_way(problem), "-error")
        self._show_all()
        self._row("concept.name").suggest(self._free_name())
        self.refresh_bindings()

    def _in_the_way(self, problem: DbtuiError) -> Content:
        words = Content(f"{printable(problem.title)}. {printable(problem.message)}")
        if not self._change:
            return Content.assemble(words, f" {printable(in_app(problem.hint))}")
        change = ", ".join(f"{FIELDS[k].label} {FIELDS[k].format(v)}" for k, v in self._change.items())
        return Content.assemble(words, "\n", ("F4", "bold $primary"), f" makes it fit: {change}.")

    def _free_name(self) -> str:
        """The name that an empty field comes to."""
        try:
            return choose_name(self.draft.config())
        except DbtuiError:
            return ""

    def _say(self, words: Content, mood: str = "") -> None:
        line = self.query_one("#outlook", Static)
        line.set_classes(mood)
        line.update(words)

    # What can be done

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what changes something."""
        if not self.is_mounted:
            return True
        row = self._focused_row()
        return {
            "start": not self._starting,
            "fit": bool(self._change),
            "reset": row is not None and row.spec.key in self.draft.typed,
            "reset_all": bool(self.draft.typed),
        }.get(action, True)

    def action_advanced(self) -> None:
        self.toggle_class("-all")
        if not self.has_class("-all") and (row := self._focused_row()) is not None and row.spec.advanced:
            self._row("concept.prompt").editor.focus()

    def action_reset(self) -> None:
        row = self._focused_row()
        if row is not None:
            self.draft.reset(row.spec.key)
            self._changed()

    def action_reset_all(self) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self.draft.typed.clear()
                self._changed()

        text = f"{plural(len(self.draft.typed), 'parameter')} would be as in the preset {self.draft.effective_preset}."
        self.app.push_screen(ConfirmDialog("Reset all that was typed?", text, "Reset"), answered)

    def action_fit(self) -> None:
        self.draft.apply(self._change)
        self._changed()

    def action_toml(self) -> None:
        self.app.push_screen(TextDialog("The run's config", Content(printable(self.draft.config().to_toml()))))

    def action_leave(self) -> None:
        self.dismiss("")

    # The start

    def action_start(self) -> None:
        problems = self.draft.problems()
        if problems:
            row = self._row(next(iter(problems)))
            self.set_class(self.has_class("-all") or row.spec.advanced, "-all")
            row.editor.focus()
            return
        self._number += 1
        self._set_starting(True)
        downloaded = self.draft.folder if self.draft.urls else None
        self._outlook.forget()
        work = partial(check_draft, self, self.draft.config(), downloaded, self._outlook.plan)
        self.start(work, "start")

    @on(Starting)
    def _say_start(self, message: Starting) -> None:
        self._say(Content(message.words))

    @on(ReadyToStart)
    def _ask_for_download(self, message: ReadyToStart) -> None:
        checked = message.checked
        assert checked.missing is not None

        def answered(yes: bool | None) -> None:
            if yes:
                self.start(partial(begin_checked, self, checked), "start")
            else:
                self._set_starting(False)

        self.app.push_screen(ConfirmDialog("Download the model?", checked.missing.words(), "Download"), answered)

    @on(Worker.StateChanged)
    def _start_failed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR and event.worker.group == "start":
            self._set_starting(False)

    def _set_starting(self, starting: bool) -> None:
        self._starting = starting
        self.refresh_bindings()
        if not starting:
            self._foresee()
