"""Home: every concept and every training, and what can be done with them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import DataTable, Input, Static

from dbtui.app import tasks
from dbtui.app.bridge import watch_library
from dbtui.app.dialogs import ConfirmDialog, PromptDialog
from dbtui.app.entries import Catalog, Entry
from dbtui.app.keys import bindings
from dbtui.app.messages import LibraryRead, OpenCompare, OpenNew, OpenPrompt, OpenRun
from dbtui.app.screens.base import BaseScreen
from dbtui.app.widgets.entry_card import EntryCard
from dbtui.app.widgets.entry_table import EntryTable
from dbtui.app.widgets.welcome import Welcome
from dbtui.app.wording import in_app
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.names import check_name
from dbtui.core.units import plural

RESUMABLE = ("stopped", "failed", "lost", "new")
CONDITIONAL = ("open", "filter", "show_all", "stop", "resume", "compare", "training", "export", "rename", "delete")
"""Actions that not every entry has."""


class Filter(Input):
    """A word that entries must have."""

    KEYS: ClassVar[str] = "filter"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("filter")]

    def action_done(self) -> None:
        self.screen.query_one(EntryTable).focus()

    def action_clear(self) -> None:
        self.value = ""
        self.screen.query_one(EntryTable).focus()


class LibraryScreen(BaseScreen):
    """The library."""

    KEYS: ClassVar[str] = "library"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("library")]

    def __init__(self) -> None:
        super().__init__()
        self._catalog = Catalog()
        self._entries: Sequence[Entry] | None = None
        self._whole = False

    def body(self) -> ComposeResult:
        with Horizontal(id="library"):
            with Vertical(id="list"):
                line = Filter(placeholder="a word in the name, prompt, model or state", id="filter", compact=True)
                line.cursor_blink = False
                yield line
                yield EntryTable(id="entries")
                yield Static("Reading the library \u2026", id="notice")
            yield EntryCard(id="card")
        yield Welcome(id="welcome")

    def on_mount(self) -> None:
        self.say_where()
        self.query_one(EntryTable).focus()
        self.app.theme_changed_signal.subscribe(self, lambda _: self.query_one(EntryTable).repaint())

    def on_screen_resume(self) -> None:
        self.start(partial(watch_library, self, self._catalog), "library")

    def on_screen_suspend(self) -> None:
        """Under another screen it rests: a change there would have the whole window drawn again."""
        self.workers.cancel_group(self, "library")

    # What comes in

    @on(LibraryRead)
    def _read(self, message: LibraryRead) -> None:
        if not self._whole:  # what is above the first entry was not known yet
            self.query_one(EntryTable).stay_at_top()
        self._entries, self._whole = message.entries, message.whole
        self._show(message.problem)

    def _show(self, problem: DbtuiError | None = None) -> None:
        entries = self._entries or []
        line = self.query_one(Filter)
        word = line.value.strip()
        line.set_class(bool(word), "-set")
        shown = [entry for entry in entries if entry.has(word)]
        self.set_class(not entries and problem is None, "-empty")
        self.query_one("#notice", Static).update(_notice(problem, word, len(shown)))
        self.set_class(problem is not None or not shown, "-notice")
        table = self.query_one(EntryTable)
        table.show(shown)
        self.query_one(EntryCard).show(table.current)
        self.say_where(facts=_facts(entries, word, len(shown)))
        if not entries and problem is None:
            self.query_one(Welcome).focus_choices()
        elif self.focused is None:
            table.focus()
        self.refresh_bindings()

    @on(Input.Changed, "#filter")
    def _filter_changed(self) -> None:
        if self._entries is not None:
            self._show()

    @on(DataTable.RowHighlighted)
    def _highlighted(self) -> None:
        self.query_one(EntryCard).show(self.current)
        self.refresh_bindings()

    @on(DataTable.RowSelected)
    def _selected(self) -> None:
        self.action_open()

    @on(Welcome.Chosen)
    def _chosen(self, message: Welcome.Chosen) -> None:
        self.action_demo() if message.choice == "demo" else self.action_new()

    # What can be done

    @property
    def current(self) -> Entry | None:
        return self.query_one(EntryTable).current

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with the entry under the cursor."""
        if not self.is_mounted or action not in CONDITIONAL:
            return True
        entry = self.current
        if action == "filter":
            return bool(self._entries)
        if action == "show_all":
            return bool(self.query_one(Filter).value.strip())
        if entry is None:
            return False
        return {
            "stop": entry.state == "live",
            "resume": entry.concept is None and entry.state in RESUMABLE,
            "compare": entry.state != "damaged" and (entry.concept is not None or entry.step > 0),
            "training": entry.concept is not None and entry.run is not None,
            "export": entry.concept is not None and entry.state != "damaged",
            "rename": entry.concept is not None and entry.state != "damaged",
            "delete": entry.state != "live",
        }.get(action, True)

    def action_open(self) -> None:
        entry = self.current
        if entry is None:
            return
        if entry.state == "damaged":
            self.show_error(
                DbtuiError(
                    f"{entry.name} is damaged",
                    f"{entry.problem}. Its files were left as they are, in {entry.path}.",
                    "Press d to delete it, and teach it again.",
                )
            )
        elif entry.concept is None and entry.run is not None:
            self.post_message(OpenRun(entry.run))
        elif entry.concept is not None:
            self.post_message(OpenPrompt(entry.concept))

    def action_compare(self) -> None:
        entry = self.current
        subject = (entry.concept or entry.run) if entry is not None else None
        if subject is not None:
            self.post_message(OpenCompare(subject))

    def action_untaught(self) -> None:
        self.post_message(OpenPrompt(None))

    def action_training(self) -> None:
        entry = self.current
        if entry is not None and entry.run is not None:
            self.post_message(OpenRun(entry.run))

    def action_filter(self) -> None:
        self.query_one(Filter).focus()

    def action_show_all(self) -> None:
        self.query_one(Filter).action_clear()

    def action_demo(self) -> None:
        words = "The embedded model learns a teddy bear from five photos. Then m compares it with how it was before."
        self.start(lambda: tasks.begin_run(self, tasks.demo_config(), words), "task")

    def action_new(self) -> None:
        self.post_message(OpenNew())

    def action_stop(self) -> None:
        entry = self.current
        if entry is None or entry.run is None:
            return
        run = entry.run

        def answered(yes: bool | None) -> None:
            if yes:
                self.start(partial(tasks.ask, self, run, "stop", f"{entry.name} stops at its next step."), "task")

        text = "It stops at its next step and keeps a checkpoint, from which it can go on later."
        self.app.push_screen(ConfirmDialog(f"Stop teaching {entry.name}?", text, "Stop"), answered)

    def action_resume(self) -> None:
        entry = self.current
        if entry is not None and entry.run is not None:
            self.notify(f"Taking up {entry.name} \u2026", markup=False)
            self.start(partial(tasks.resume_run, self, entry.run), "task")

    def action_export(self) -> None:
        from dbtui.app.screens.export import ExportDialog

        if (entry := self.current) is not None and entry.concept is not None:
            self.app.push_screen(ExportDialog(entry.concept))

    def action_rename(self) -> None:
        entry = self.current
        if entry is None:
            return
        name = entry.name

        def answered(new: str | None) -> None:
            if new and new != name:
                self.start(partial(tasks.rename, self, name, new), "task")

        dialog = PromptDialog(f"Rename {name}", "Letters, digits, '-' and '_'.", name, check_name)
        self.app.push_screen(dialog, answered)

    def action_delete(self) -> None:
        entry = self.current
        if entry is None:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.start(partial(tasks.delete, self, entry), "task")

        try:
            text = tasks.what_goes(entry)
        except DbtuiError as error:
            self.show_error(error)
        else:
            self.app.push_screen(ConfirmDialog(f"Delete {entry.name}?", text, "Delete"), answered)


def _notice(problem: DbtuiError | None, word: str, shown: int) -> Content:
    """What stands in the table's place when it is empty."""
    if problem is not None:
        return Content.assemble(
            (f"{problem.title}\n\n", "bold $error"),
            printable(problem.message),
            (f"\n\n{in_app(problem.hint)}", "$primary"),
        )
    return Content(f"Nothing has {printable(word)!r} in it. Esc shows all." if word and not shown else "")


def _facts(entries: Sequence[Entry], word: str, shown: int) -> Content:
    """The library in a few words."""
    if word:
        return Content.styled(f"{shown} of {len(entries)} ", "$text-muted")
    live = sum(entry.state == "live" for entry in entries)
    parts = [plural(sum(entry.concept is not None for entry in entries), "concept")]
    text = Content.styled(" \u00b7 ".join(parts) + " ", "$text-muted")
    return Content.assemble(("\u25cf ", "$success"), f"{live} training \u00b7 ", text) if live else text
