"""Using a concept: a prompt becomes a grid of pictures, and grids that were drawn before are at hand."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.events import DescendantBlur, DescendantFocus
from textual.widgets import Static

from dbtui.app import tasks
from dbtui.app.keys import bindings
from dbtui.app.messages import DrawingEnded, GridRead, OpenCompare, PictureDrawn, PicturesForming
from dbtui.app.screens.drawing import LOOKS, DrawingScreen, recipe_line
from dbtui.app.studio import Job
from dbtui.app.tasks import Saving
from dbtui.app.widgets.draw_form import DrawForm, heading
from dbtui.app.widgets.picture_grid import Cell, PictureGrid
from dbtui.app.widgets.prompt_line import PromptLine
from dbtui.core.base_model import MINI
from dbtui.core.errors import UsageError, printable
from dbtui.core.gallery import Grid, new_folder
from dbtui.core.grid import Recipe
from dbtui.core.library import Concept
from dbtui.core.prompts import Asked
from dbtui.core.sources import by_name, of_base, sources_of
from dbtui.core.units import plural
from dbtui.jobs.generate import Request

EMPTY = "Write a prompt and press enter. The pictures appear here, and stay."


class PromptScreen(DrawingScreen):
    """The screen of a concept, or of the embedded model as it is."""

    KEYS: ClassVar[str] = "prompt"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("prompt")]

    def __init__(self, concept: Concept | None) -> None:
        super().__init__()
        self._concept = concept
        self._subject = concept.name if concept else MINI
        self._sources = by_name(sources_of(concept) if concept else [of_base(MINI)])
        self._folders: Sequence[Path] = ()
        self._place: int | None = None
        """Of the kept grid that is shown; None for the one that is being drawn."""
        self._grid: Grid | None = None
        self._asked: int | None = None
        """The place of the kept grid that is being read."""
        self._job_cells: list[Cell] = []

    def body(self) -> ComposeResult:
        prompt = self._concept.prompt if self._concept else ""
        with Horizontal(classes="prompt-row"):
            yield Static(heading("prompt"), classes="label")
            yield PromptLine(prompt, "what is to be seen", id="prompt")
        with Horizontal(classes="prompt-row"):
            yield Static(heading("without"), classes="label")
            yield PromptLine("", "what is not wanted, if anything", id="negative")
        lines = (("weights", "scheduler", "guidance"), ("rows", "columns", "steps", "seed"))
        words = {name: source.label for name, source in self._sources.items()}
        yield DrawForm(lines, words, self.app.drawing_settings)
        yield PictureGrid(id="grid")
        yield Static(EMPTY, id="no-pictures")
        yield Static(id="status")

    def on_mount(self) -> None:
        concept = self._concept
        facts = f"{_short(concept.base)} \u00b7 {concept.resolution} px " if concept else "untaught "
        self.say_where(self._subject, "Prompt", facts=Content.styled(printable(facts), "$text-muted"))
        self.set_class(True, "-no-grid")
        line = self.query_one("#prompt", PromptLine)
        line.focus()
        line.go_to_end()
        self._read(None)

    # What is drawn

    def draw(self) -> None:
        prompt, negative = (self.query_one(f"#{name}", PromptLine).value.strip() for name in ("prompt", "negative"))
        if not prompt:
            self.edit("#prompt")
            raise UsageError("The prompt is empty", "Say what is to be seen.")
        form = self.query_one(DrawForm)
        source = self._sources[form.editor("weights").value]
        rows, columns, steps = (int(form.value(name)) for name in ("rows", "columns", "steps"))  # type: ignore[arg-type]
        guidance = float(form.value("guidance"))  # type: ignore[arg-type]
        seed = form.seed(secrets.randbelow(2**32))
        self.give_up()
        request = Request(
            prompt=prompt, negative=negative, seeds=[seed + i for i in range(rows * columns)],
            columns=columns, out=str(new_folder(self._subject)), steps=steps, guidance=guidance,
            scheduler=form.editor("scheduler").value, preview=max(1, steps // LOOKS),
        )  # fmt: skip
        self.keep_prompts(Asked(prompt, negative))
        self._job_cells = [Cell(words=str(seed)) for seed in request.seeds]
        self.begin(request.by(source))
        self._show_job()

    def _show_job(self) -> None:
        assert self.job is not None
        self._place, self._grid = None, None
        self._show_cells(self._job_cells, self.job.request.columns)

    def forming(self, message: PicturesForming) -> None:
        for place, picture in enumerate(message.pictures, message.first):
            if self._job_cells[place].path is None:
                self._put(place, picture)

    def drawn(self, message: PictureDrawn) -> None:
        self._put(message.index, message.path)

    def _put(self, place: int, picture: object) -> None:
        self._job_cells[place].picture = picture  # type: ignore[assignment]
        if self._place is None:
            self.query_one(PictureGrid).draw_place(place)

    def ended(self, message: DrawingEnded) -> None:
        if message.problem is not None:
            self.show_error(message.problem)
        if self._place is None:
            self._read(None)
        else:
            self._read(self._place)
            self.notify("The grid is finished: ] shows it.")

    def cancelled(self) -> None:
        assert self.job is not None
        kept = f"{plural(self.job.kept, 'finished picture')} kept." if self.job.kept else "Nothing was kept."
        self.give_up()
        self.notify(f"Cancelled. {kept}")
        self._read(self._place)

    def ended_late(self, job: Job) -> None:
        self.notify(f"{plural(len(job.pictures), 'picture')} had been finished before it could be cancelled.")
        self._read(None if self._place == len(self._folders) - 1 else self._place)

    # What was drawn

    def _read(self, place: int | None) -> None:
        self._asked = place
        self.start(partial(tasks.read_kept, self, self._subject, place), "kept")

    @on(GridRead)
    def _grid_read(self, message: GridRead) -> None:
        if message.asked != self._asked:  # one has turned on since
            return
        self._folders = message.folders
        if self.job is not None and self._place is None:
            return
        self._place, self._grid = message.place, message.grid
        grid = message.grid
        words = [str(recipe.seed) if recipe else path.name for recipe, path in zip(grid.recipes, grid.pictures, strict=True)] if grid else []  # fmt: skip
        cells = [Cell(path, text) for path, text in zip(grid.pictures if grid else (), words, strict=True)]
        self._show_cells(cells, grid.columns if grid else 0)

    def action_turn(self, count: int) -> None:
        """Show an earlier or a later grid; after the last comes the one that is being drawn."""
        drawing = [Path(self.job.request.out)] if self.job else []
        kept = [folder for folder in self._folders if folder not in drawing]
        place = (len(kept) if self._place is None else self._place) + count
        if place >= len(kept) and self.job is not None:
            self._show_job()
        elif kept and 0 <= place < len(kept):
            self._place = place
            self._read(place)

    def _show_cells(self, cells: list[Cell], columns: int) -> None:
        grid = self.query_one(PictureGrid)
        had_focus = grid.has_focus
        self.set_class(not cells, "-no-grid")
        if had_focus and not cells:
            self.query_one("#prompt").focus()
        total, place = len(self._folders), self._place
        grid.place = f"[ {place + 1} of {total} ]" if place is not None and total > 1 else ""
        if grid.cells is not cells:
            grid.show(cells, columns)
        grid.filled()
        self.say_idle()
        self.refresh_bindings()

    @on(PictureGrid.Moved)
    def say_idle(self) -> None:
        recipe = self._recipe()
        grid = self.query_one(PictureGrid)
        asked = self.job.request.prompt if self.job and self._place is None else recipe.prompt if recipe else ""
        grid.border_title = Content(printable(asked).replace("\n", " "))
        if self.job is None:
            self.say(recipe_line(recipe.seed, recipe, recipe.model) if recipe else Content(""))

    def _recipe(self) -> Recipe | None:
        """How the picture under the cursor was made."""
        place = self.query_one(PictureGrid).cursor
        return self._grid.recipes[place] if self._grid and place < len(self._grid.recipes) else None

    # What can be done

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        self.refresh_bindings()

    def on_descendant_blur(self, event: DescendantBlur) -> None:
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with the picture under the cursor."""
        if not self.is_mounted:
            return True
        return {
            "zoom": self.picture() is not None,
            "save": self.picture() is not None,
            "copy": self.picture() is not None,
            "save_grid": self._grid is not None and bool(self._grid.columns),
            "reuse": self._recipe() is not None,
            "turn": len(self._folders) + (self.job is not None) > 1,
            "compare": self._concept is not None,
            "pictures_only": self.query_one(PictureGrid).count > 0,
        }.get(action, True)

    def picture(self) -> Path | None:
        cell = self.query_one(PictureGrid).current
        return cell.path if cell else None

    def picture_name(self) -> str:
        recipe = self._recipe()
        return f"seed {recipe.seed} \u00b7 {recipe.prompt}" if recipe else ""

    def action_edit(self) -> None:
        self.edit("#prompt")

    def action_save(self) -> None:
        path, recipe = self.picture(), self._recipe()
        if path is not None:
            self.ask_where_to_save(
                partial(Saving.copy, path), f"{self._subject}-{recipe.seed if recipe else path.stem}"
            )

    def action_save_grid(self) -> None:
        if self._grid is not None:
            self.ask_where_to_save(partial(Saving.copy, self._grid.file), f"{self._subject}-grid")

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(str(self.picture()))
        self.notify(f"{self.picture()} is copied, if the terminal allows programs to copy.", markup=False)

    def action_reuse(self) -> None:
        recipe = self._recipe()
        if recipe is None:
            return
        self.query_one("#prompt", PromptLine).show(recipe.prompt)
        self.query_one("#negative", PromptLine).show(recipe.negative)
        form = self.query_one(DrawForm)
        for name in ("steps", "guidance", "scheduler", "seed"):
            form.set(name, getattr(recipe, name))
        form.set_locked(True)
        gone = recipe.model not in self._sources
        if not gone:
            form.set("weights", recipe.model)
        self.edit("#prompt")
        but = f"; {printable(recipe.model)}, which drew it, is no longer there" if gone else ""
        self.notify(f"Its settings and its seed are taken up{but}.", markup=False)

    def action_compare(self) -> None:
        if self._concept is not None:
            self.post_message(OpenCompare(self._concept))


def _short(base: str) -> str:
    return base.rstrip("/").rsplit("/", 1)[-1]
