"""The same prompts and seed with several weights, side by side: what was learned on the way, and what was lost."""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import DescendantBlur, DescendantFocus
from textual.widgets import Input, Static

from dbtui.app.keys import bindings
from dbtui.app.messages import DrawingEnded, PictureDrawn, PicturesForming
from dbtui.app.screens.columns import Columns, ColumnsDialog
from dbtui.app.screens.drawing import LOOKS, DrawingScreen, recipe_line
from dbtui.app.studio import Job
from dbtui.app.tasks import Saving, write_table
from dbtui.app.widgets.draw_form import DrawForm, heading
from dbtui.app.widgets.picture_grid import Cell, PictureTable
from dbtui.app.widgets.prompt_line import PromptLine, TableLine
from dbtui.core import paths
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.gallery import new_folder
from dbtui.core.library import Concept
from dbtui.core.prompts import Asked
from dbtui.core.run import Run
from dbtui.core.units import plural
from dbtui.jobs.generate import Request

PROMPTS = 8
"""Rows that a table can have."""

LINES = 3
"""Lines for prompts that are there at first; another comes with each that is filled."""


class CompareScreen(DrawingScreen):
    """A concept, or a run that has not become one, beside what it was made from."""

    KEYS: ClassVar[str] = "compare"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("compare")]

    def __init__(self, subject: Concept | Run) -> None:
        super().__init__()
        self._subject = subject.name if isinstance(subject, Concept) else subject.config.concept.name or subject.id
        self._prompt = subject.prompt if isinstance(subject, Concept) else subject.config.concept.prompt
        self._columns = Columns(subject)
        self._headings: list[str] = []
        """The columns of the table that is shown."""
        self._problems: dict[str, DbtuiError] = {}
        """Why columns of it could not be drawn."""
        self._prompts: list[str] = []
        self._cells: list[Cell] = []
        self._queue: list[int] = []
        """Places of the cells that are still to be drawn."""
        self._place = 0
        self._request: Request | None = None
        self._folder = Path()

    def body(self) -> ComposeResult:
        with VerticalScroll(id="table-prompts", can_focus=False):
            for number in range(PROMPTS):
                with Horizontal(classes="prompt-row") as row:
                    row.display = number < LINES
                    yield Static(heading(f"prompt {number + 1}"), classes="label")
                    words = "" if number else "what is to be seen"
                    yield TableLine("" if number else self._prompt, words, id=f"prompt-{number}")
        with Horizontal(classes="prompt-row"):
            yield Static(heading("without"), classes="label")
            yield TableLine("", "what is not wanted in any of them", id="negative")
        yield DrawForm((("guidance", "scheduler"), ("steps", "seed")), {}, self.app.drawing_settings)
        with Horizontal(id="table-place"):
            with Vertical(id="row-names"):
                for _ in range(PROMPTS):
                    yield Static(classes="row-name")
            yield PictureTable(id="grid")
        yield Static(id="no-pictures")
        yield Static(id="status")

    def on_mount(self) -> None:
        self.set_class(True, "-no-grid")
        line = self.query_one("#prompt-0", TableLine)
        line.focus()
        line.go_to_end()
        self._say_columns()

    def _say_columns(self) -> None:
        columns = self._columns
        count = plural(len(columns.chosen), "column")
        self.say_where(self._subject, "Compare", facts=Content.styled(f"{count} ", "$text-muted"))
        names = " \u00b7 ".join(columns.words[name] for name in columns.chosen)
        text = f"{names}\n\n{columns.note}\n\nEnter draws each of them from the same seed. F4 chooses others."
        self.query_one("#no-pictures", Static).update(Content(printable(text)))

    @property
    def _lines(self) -> list[TableLine]:
        """For prompts, those that are not shown among them."""
        return list(self.query("#table-prompts TableLine").results(TableLine))

    @on(Input.Changed)
    def _show_lines(self) -> None:
        """As many lines as are filled, and one more."""
        filled = [number for number, line in enumerate(self._lines) if line.value.strip()]
        for number, row in enumerate(self.query("#table-prompts > .prompt-row")):
            row.display = number < max(LINES, max(filled, default=0) + 2)

    # What is drawn

    def draw(self) -> None:
        prompts = [line.value.strip() for line in self._lines if line.value.strip()]
        negative = self.query_one("#negative", TableLine).value.strip()
        if not prompts:
            self.edit("#prompt-0")
            raise UsageError("There is no prompt", "Say what is to be seen.")
        if not self._columns.chosen:
            raise UsageError("There is nothing to compare", "Choose columns with F4.")
        form = self.query_one(DrawForm)
        steps, guidance = int(form.value("steps")), float(form.value("guidance"))  # type: ignore[arg-type]
        seed = form.seed(secrets.randbelow(2**32))
        self.give_up()
        self._folder = new_folder(self._subject, "compare-")
        self.keep_prompts(*(Asked(prompt, negative) for prompt in prompts))
        self._request = Request(
            prompt="", negative=negative, seeds=[seed], columns=1, out="", steps=steps, guidance=guidance,
            scheduler=form.editor("scheduler").value, preview=max(1, steps // LOOKS),
        )  # fmt: skip
        self._prompts, self._headings, self._problems = prompts, list(self._columns.chosen), {}
        self._cells = [Cell(words=self._columns.words[name]) for _ in prompts for name in self._headings]
        columns = len(self._headings)
        self._queue = [row * columns + column for column in range(columns) for row in range(len(prompts))]
        self.set_class(False, "-no-grid")
        self.query_one(PictureTable).show(self._cells, columns)
        self._next()

    def _next(self) -> None:
        """Draw the next cell: column by column, since to change weights takes longest."""
        assert self._request is not None
        self._place = self._queue.pop(0)
        row, column = divmod(self._place, len(self._headings))
        self.parts = len(self._cells) - len(self._queue) - 1, len(self._cells)
        out = paths.make_private(self._folder / f"{row + 1}-{column + 1}")
        source = self._columns.sources[self._headings[column]]
        self.begin(replace(self._request, prompt=self._prompts[row], out=str(out)).by(source))

    def forming(self, message: PicturesForming) -> None:
        self.query_one(PictureTable).put(self._place, message.pictures[0])

    def drawn(self, message: PictureDrawn) -> None:
        self.query_one(PictureTable).put(self._place, message.path)

    def ended(self, message: DrawingEnded) -> None:
        if message.problem is not None:
            self._leave_out(message.problem)
        try:
            if self._queue:
                self._next()
                return
        except OSError as error:
            self._queue.clear()
            self._problems[self._headings[self._place % len(self._headings)]] = self.no_room(error)
        self._settle()
        self._tell_problems()

    def _leave_out(self, problem: DbtuiError) -> None:
        """Go on with the other columns if it is this one that cannot be used; else there is no use in going on."""
        column = self._place % len(self._headings)
        self._problems[self._headings[column]] = problem
        self._queue = [] if self.begun else [p for p in self._queue if p % len(self._headings) != column]

    def _tell_problems(self) -> None:
        """All that went wrong at once, the columns by their headings."""
        words = self._columns.words
        told = [f"{words[name]}: {error.title}. {error.message}" for name, error in self._problems.items()]
        if told:
            done = sum(cell.path is not None for cell in self._cells)
            hint = next(iter(self._problems.values())).hint
            title = f"{plural(len(told), 'column')} could not be drawn"
            self.show_error(DbtuiError(title, "\n".join([*told, f"{plural(done, 'finished picture')} kept."]), hint))

    def cancelled(self) -> None:
        self._queue.clear()
        self.give_up()
        done = sum(cell.path is not None for cell in self._cells)
        self.notify(f"Cancelled. {plural(done, 'finished picture')} kept.")
        self._settle()

    def ended_late(self, job: Job) -> None:
        row, column = (int(part) - 1 for part in Path(job.request.out).name.split("-"))
        if Path(job.request.out).parent == self._folder:
            self.query_one(PictureTable).put(row * len(self._headings) + column, job.pictures[0])
            self.refresh_bindings()

    def _settle(self) -> None:
        """Nothing is drawn any more: what was not finished is empty."""
        table = self.query_one(PictureTable)
        for place, cell in enumerate(self._cells):
            table.put(place, cell.path)
        self.say_idle()
        self.refresh_bindings()

    # What is shown

    @on(PictureTable.Scrolled)
    def _name_rows(self, message: PictureTable.Scrolled) -> None:
        """The prompts beside the rows that are in view."""
        for number, name in enumerate(self.query(".row-name").results(Static)):
            row = message.first + number
            name.display = number < message.rows and row < len(self._prompts)
            if name.display:
                name.styles.height = message.height
                name.set_class(row == self._row, "-cursor")
                name.update(Content(printable(self._prompts[row])))

    @property
    def _row(self) -> int:
        """Of the cursor."""
        return self.query_one(PictureTable).cursor // max(1, len(self._headings))

    @on(PictureTable.Moved)
    def say_idle(self) -> None:
        if self.job is not None or not self._cells or self._request is None:
            return
        cursor = self.query_one(PictureTable).cursor
        problem = self._problems.get(self._headings[cursor % len(self._headings)])
        if problem is not None and self._cells[cursor].path is None:
            self.say(Content.assemble((f" {printable(problem.title)}. ", "bold $error"), printable(problem.message)))
        else:
            self.say(recipe_line(self._request.seeds[0], self._request, self._cells[cursor].words))

    # What can be done

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        self.refresh_bindings()

    def on_descendant_blur(self, event: DescendantBlur) -> None:
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with the table as it is."""
        if not self.is_mounted:
            return True
        return {
            "zoom": self.picture() is not None,
            "save": any(cell.path for cell in self._cells),
            "pictures_only": bool(self._cells),
        }.get(action, True)

    def picture(self) -> Path | None:
        cell = self.query_one(PictureTable).current
        return cell.path if cell else None

    def picture_name(self) -> str:
        table = self.query_one(PictureTable)
        return f"{table.cells[table.cursor].words} \u00b7 {self._prompts[self._row]}"

    def takes_negative(self, line: PromptLine) -> bool:
        """What is not wanted is of the whole table, so that only a prompt that is alone may change it."""
        return not any(other.value.strip() for other in self._lines if other is not line)

    def action_edit(self) -> None:
        self.edit("#prompt-0")

    def action_columns(self) -> None:
        columns = self._columns

        def answered(names: list[str] | None) -> None:
            if names is not None and names != columns.chosen:
                columns.chosen = names
                self._say_columns()
                if self._cells:
                    self.say(Content(" The columns have changed: F5 draws the table anew."))

        self.app.push_screen(ColumnsDialog(columns.words, columns.chosen, columns.note), answered)

    def action_save(self) -> None:
        columns = len(self._headings)
        rows = [
            [cell.path for cell in self._cells[row * columns : (row + 1) * columns]]
            for row in range(len(self._prompts))
        ]
        assert self._request is not None
        headings = [self._columns.words[name] for name in self._headings]
        note = recipe_line(self._request.seeds[0], self._request).plain.strip()
        write = partial(write_table, rows, headings, self._prompts, note)
        self.ask_where_to_save(partial(Saving, write, self._folder), f"{self._subject}-table")
