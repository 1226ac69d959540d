"""A concept written out for other programs: where to and how, what that takes, and the export as it goes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState, get_current_worker

from dbtui.app.dialogs import ConfirmDialog
from dbtui.app.keys import bindings
from dbtui.app.screens.base import as_error
from dbtui.app.widgets.choice import Choice
from dbtui.app.widgets.field_row import Line
from dbtui.app.widgets.key_bar import KeyBar
from dbtui.app.widgets.run_words import work
from dbtui.app.wording import in_app
from dbtui.core import paths
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.events import Phase
from dbtui.core.export import FORMATS, Order, free_destination, make_order, with_suffix
from dbtui.core.library import Concept
from dbtui.core.meter import Meter
from dbtui.core.units import format_bytes
from dbtui.core.weights import free_space
from dbtui.jobs.export import Exported, Exporter

WORDS = {"diffusers": "folder for diffusers", "safetensors": ".safetensors", "ckpt": ".ckpt"}
TEXT = "The whole model: a folder that diffusers loads, or one file for every program for Stable Diffusion."

ASK = "F5 or enter: export \u00b7 esc: cancel"

PAUSE = 0.2
"""Seconds without another key after which the disk is looked at."""


class ExportDialog(ModalScreen[None]):
    """Asks what is to be written, writes it, and shows what came of it."""

    KEYS: ClassVar[str] = "export"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("export")]

    @dataclass
    class Looked(Message):
        """Whether what the form asks for can be: the order and its size, or why not."""

        order: Order | None
        size: int = 0
        free: int = 0
        taken: bool = False
        """Whether an earlier export is there, which would be replaced."""
        problem: DbtuiError | None = None

    @dataclass
    class Progressed(Message):
        """What is being done."""

        phase: Phase

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ExportDialog.Progressed)

    @dataclass
    class Finished(Message):
        """The export is in its place; None if it was cancelled."""

        exported: Exported | None

    def __init__(self, concept: Concept) -> None:
        super().__init__()
        self._concept = concept
        self._looked: ExportDialog.Looked | None = None
        self._exporter: Exporter | None = None
        self._meter = Meter()
        self._exported: Exported | None = None
        self._asked = self._ending = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="export") as dialog:
            dialog.border_title = Content(f"Export {printable(self._concept.name)}")
            dialog.border_subtitle = ASK
            yield Static(TEXT, classes="dialog-text")
            with Vertical(id="export-form"):
                with Horizontal():
                    yield Static("format", classes="label")
                    yield Choice(WORDS, "diffusers", id="format")
                with Horizontal():
                    yield Static("numbers", classes="label")
                    yield Choice({"full": "32 bit", "half": "16 bit, half the size"}, "full", id="numbers")
                with Horizontal():
                    yield Static("to", classes="label")
                    line = Line(free_destination(self._concept.name), replaced=False)
                    line.id = "to"
                    yield line
            yield Static(id="export-words")
        yield KeyBar()

    def on_mount(self) -> None:
        line = self.query_one("#to", Line)
        line.focus()
        line.go_to_end()

    def on_unmount(self) -> None:
        """The app may be left at any time: the export goes with it, and leaves nothing."""
        if self._exporter is not None:
            self._exporter.cancel()

    # What is asked

    @on(Choice.Changed, "#format")
    def _format_chosen(self, message: Choice.Changed) -> None:
        line = self.query_one("#to", Input)
        line.value = with_suffix(line.value, message.value)
        self._look()

    @on(Input.Changed, "#to")
    def _place_typed(self, event: Input.Changed) -> None:
        """A suffix says which format is meant."""
        told = next((name for name, end in FORMATS.items() if end and event.value.endswith(end)), "")
        if told:
            self.query_one("#format", Choice).value = told
        self._look()

    @on(Choice.Changed, "#numbers")
    def _look(self) -> None:
        self._looked, self._asked = None, False
        format, numbers = self.query_one("#format", Choice).value, self.query_one("#numbers", Choice).value
        task = partial(self._look_at, self.query_one("#to", Input).value, format, numbers == "half")
        self.run_worker(task, group="look", thread=True, exclusive=True, exit_on_error=False)

    def _look_at(self, destination: str, format: str, half: bool) -> None:
        """In a worker thread: post whether that can be."""
        worker = get_current_worker()
        if worker.cancelled_event.wait(PAUSE):
            return
        try:
            order, size = make_order(self._concept.name, destination, format, half, overwrite=True)
            looked = self.Looked(order, size, free_space(order.path.parent), _is_taken(order))
        except DbtuiError as error:
            looked = self.Looked(None, problem=error)
        if not worker.is_cancelled:
            self.post_message(looked)

    @on(Looked)
    def _say_what_it_takes(self, message: Looked) -> None:
        self._looked = message
        if message.problem is not None:
            self._complain(message.problem)
        elif message.order is not None:
            room = f"About {format_bytes(message.size)}; {format_bytes(message.free)} are free there."
            earlier = ("\nAn earlier export is there.", "$warning") if message.taken else ""
            self._say(Content.assemble((f"{printable(message.order.path)}\n", "bold"), room, earlier))
        if self._asked:
            self.action_export()

    # The export

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return {"copy": self._exported is not None, "export": not self.has_class("-no-form")}.get(action, True)

    @on(Input.Submitted)
    def action_export(self) -> None:
        """Begin, once the form has been looked at; what is there already is asked about first."""
        if self._exporter is not None or self._exported is not None:
            return
        looked, self._asked = self._looked, self._looked is None
        if looked is None or looked.order is None:
            return
        order = looked.order

        def answered(yes: bool | None) -> None:
            if yes:
                self._begin(order)

        if looked.taken:
            text = f"{order.path} is an earlier export. It stays as it is until the new one has been checked."
            self.app.push_screen(ConfirmDialog("Replace it?", text, "Replace"), answered)
        else:
            self._begin(replace(order, overwrite=False))

    def _begin(self, order: Order) -> None:
        self._exporter, self._meter, self._ending = Exporter(order, paths.data_dir() / "export.log"), Meter(), False
        self._show_form(False, "esc: end it")
        self._say(Content("Starting \u2026"))
        self.run_worker(
            partial(self._carry_out, self._exporter), group="export", thread=True, exclusive=True, exit_on_error=False
        )

    def _carry_out(self, exporter: Exporter) -> None:
        """In a worker thread: export, and post how far it is."""
        with exporter:
            for phase in exporter.follow():
                self.post_message(self.Progressed(phase))
        self.post_message(self.Finished(exporter.exported))

    @on(Progressed)
    def _progressed(self, message: Progressed) -> None:
        self._meter.add(message.phase)
        if self._exporter is not None and not self._ending:
            width = self.query_one("#export-words").content_size.width
            where = (f"{printable(self._exporter.order.path)}\n", "bold")
            self._say(Content.assemble(where, work(message.phase, self._meter.rate, width)))

    @on(Finished)
    def _finished(self, message: Finished) -> None:
        self._exporter, self._exported = None, message.exported
        exported = message.exported
        if exported is None:
            self._show_form(True, ASK)
            self._say(Content("The export was ended. Nothing was left of it."))
            return
        self._show_form(False, "c: copy the path \u00b7 esc: close")
        words = Content.assemble(
            ("\u2713 Exported, ", "bold $success"), f"{format_bytes(exported.size)}. {exported.words()}\n\n",
            (printable(exported.path), "bold"),
        )  # fmt: skip
        self._say(words)

    @on(Worker.StateChanged)
    def _failed(self, event: Worker.StateChanged) -> None:
        if event.state is not WorkerState.ERROR or event.worker.error is None:
            return
        if event.worker.group == "export":
            self._exporter = None
            self._show_form(True, ASK)
        self._complain(as_error(event.worker.error))

    def action_copy(self) -> None:
        assert self._exported is not None
        self.app.copy_to_clipboard(str(self._exported.path))
        self.notify("Copied, if the terminal allows programs to copy.")

    def action_cancel(self) -> None:
        """Close; an export that is going on is asked about."""
        if self._exporter is None:
            self.dismiss(None)
        elif not self._ending:
            text = "Nothing of it would be left. The concept stays as it is."
            self.app.push_screen(ConfirmDialog("End the export?", text, "End it"), self._end)

    def _end(self, yes: bool | None) -> None:
        if yes and self._exporter is not None:
            self._ending = True
            self._say(Content("Ending it, and tidying up \u2026"))
            self._exporter.cancel()

    def _say(self, words: Content) -> None:
        self.query_one("#export-words", Static).update(words)

    def _complain(self, error: DbtuiError) -> None:
        title, message, hint = (printable(in_app(part)) for part in (error.title, error.message, error.hint))
        self._say(Content.assemble((f"{title}. ", "bold $error"), message, (f" {hint}", "$primary")))

    def _show_form(self, shown: bool, keys: str) -> None:
        self.set_class(not shown, "-no-form")
        self.query_one("#export").border_subtitle = keys
        self.refresh_bindings()
        self.set_focus(self.query_one("#to") if shown else None)


def _is_taken(order: Order) -> bool:
    """Whether there is something that the export would replace; an empty folder is nothing."""
    return order.path.exists() and not (order.path.is_dir() and not any(order.path.iterdir()))
