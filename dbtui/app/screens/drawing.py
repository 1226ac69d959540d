"""What the two screens that draw have in common: a job, how far it is, and what can be done with a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.content import Content
from textual.widgets import Input, Static

from dbtui.app import tasks
from dbtui.app.dialogs import ConfirmDialog, PromptDialog
from dbtui.app.messages import (
    AlreadyThere,
    DrawingEnded,
    DrawingProgress,
    DrawingSaid,
    PictureDrawn,
    PicturesForming,
    PromptsRead,
)
from dbtui.app.screens.base import BaseScreen
from dbtui.app.screens.photo import PhotoDialog
from dbtui.app.studio import Job, Studio
from dbtui.app.widgets.draw_form import DrawForm
from dbtui.app.widgets.prompt_line import PromptLine
from dbtui.app.widgets.run_words import work
from dbtui.app.widgets.tile_grid import TileGrid
from dbtui.core import paths
from dbtui.core.errors import DbtuiError, UsageError, obstacle, printable
from dbtui.core.events import Phase
from dbtui.core.grid import Recipe
from dbtui.core.meter import Meter
from dbtui.core.names import free_name
from dbtui.core.prompts import Asked
from dbtui.core.units import plural
from dbtui.jobs.generate import Request

if TYPE_CHECKING:
    from dbtui.app.app import DbtuiApp

LOOKS = 8
"""Looks at a picture while it forms."""


class Turning:
    """A line in which earlier prompts are being turned over."""

    def __init__(self, line: PromptLine, earlier: Sequence[Asked]) -> None:
        self.line = line
        self._earlier = earlier
        self._place = len(earlier)
        self._typed: Asked | None = None

    def turn(self, direction: int, shown: Asked) -> Asked | None:
        """The next that is unlike ``shown``, before (-1) or after (1) it; the last is what had been typed."""
        if self._place == len(self._earlier):
            self._typed = shown
        for place in range(self._place + direction, len(self._earlier) + 1 if direction > 0 else -1, direction):
            asked = self._earlier[place] if place < len(self._earlier) else self._typed
            if asked != shown:
                self._place = place
                return asked
        return None


class DrawingScreen(BaseScreen):
    """A subclass shows the pictures of its job, and says what there is to draw and to save."""

    app: DbtuiApp  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.job: Job | None = None
        """What is being drawn."""
        self.history: list[Asked] = []
        self.parts = (0, 1)
        """Of the jobs that were asked for at once: how many are done, and how many they are."""
        self.begun = False
        """Whether the job has come to its first step: what it draws with could be loaded."""
        self._meter = Meter()
        self._turning: Turning | None = None

    @property
    def studio(self) -> Studio:
        return self.app.studio

    def on_mount(self) -> None:
        self.start(partial(tasks.read_history, self), "history")

    def on_unmount(self) -> None:
        if self.job is not None:
            self.studio.cancel(self.job)

    # To be said by a subclass

    def picture(self) -> Path | None:
        """The finished picture under the cursor."""
        raise NotImplementedError

    def picture_name(self) -> str:
        """What the picture under the cursor is called where it is seen alone."""
        raise NotImplementedError

    def draw(self) -> None:
        """Begin to draw what the form says. Raises UsageError."""
        raise NotImplementedError

    def forming(self, message: PicturesForming) -> None:
        raise NotImplementedError

    def drawn(self, message: PictureDrawn) -> None:
        raise NotImplementedError

    def ended(self, message: DrawingEnded) -> None:
        raise NotImplementedError

    def ended_late(self, job: Job) -> None:
        """What was cancelled had finished pictures that nobody knows of yet."""
        raise NotImplementedError

    def say_idle(self) -> None:
        """Fill the line below the pictures while nothing is drawn."""
        raise NotImplementedError

    # The job

    def begin(self, request: Request) -> None:
        """Draw ``request``; the form begins like this the next time."""
        self.job, self.begun = Job(request), False
        self.app.drawing_settings |= self.query_one(DrawForm).texts()
        self.say_work(Phase(name="starting"))
        self.start(partial(self.studio.draw, self, self.job), "drawing")
        self.refresh_bindings()

    def give_up(self) -> None:
        """End the job, if there is one: what it still says is not heard."""
        if self.job is not None:
            self.studio.cancel(self.job)
            self.job = None
            self._meter = Meter()
            self.refresh_bindings()

    @on(DrawingProgress)
    def _progressed(self, message: DrawingProgress) -> None:
        if message.job is self.job:
            name = "drawing" if message.total else "loading the model"
            parts, count = self.parts
            self.begun |= message.total > 0
            done, total = parts * message.total + message.done, count * message.total
            self.say_work(Phase(name=name, done=done, total=total, unit="steps"))

    def say_work(self, phase: Phase) -> None:
        self._meter.add(phase)
        words = Content.styled("  esc cancels ", "$text-muted")
        width = self.query_one("#status", Static).size.width - words.cell_length
        self.say(Content.assemble(work(phase, self._meter.rate, width), words))

    @on(DrawingSaid)
    def _said(self, message: DrawingSaid) -> None:
        if message.job is self.job:
            self.notify(message.words, severity="warning", markup=False)

    @on(PicturesForming)
    def _forming(self, message: PicturesForming) -> None:
        if message.job is self.job:
            self.forming(message)

    @on(PictureDrawn)
    def _drawn(self, message: PictureDrawn) -> None:
        if message.job is self.job:
            self.job.kept += 1
            self.drawn(message)

    @on(DrawingEnded)
    def _ended(self, message: DrawingEnded) -> None:
        if message.job is self.job:
            self.job = None
            self.ended(message)
            self.refresh_bindings()
        elif len(message.job.pictures) > message.job.kept:
            self.ended_late(message.job)

    def say(self, words: Content) -> None:
        self.query_one("#status", Static).update(words)

    # The form

    @on(Input.Submitted)
    def _submitted(self) -> None:
        """Enter in a number draws as well."""
        self.action_draw()

    def action_draw(self) -> None:
        try:
            self.draw()
        except UsageError as error:
            self.say(Content.assemble((f" {printable(error.title)}. ", "bold $error"), printable(error.message)))
        except OSError as error:
            self.show_error(self.no_room(error))

    @staticmethod
    def no_room(error: OSError) -> DbtuiError:
        """For pictures that are to be drawn."""
        message, _ = obstacle(error, paths.pictures_dir())
        hint = "Make room on it, or set DBTUI_HOME to another disk."
        return DbtuiError("Nothing can be drawn", f"{message} What was drawn before is kept.", hint)

    def keep_prompts(self, *asked: Asked) -> None:
        """They are at hand from now on, and the next time if the disk takes them."""
        self.history, self._turning = _newest([*self.history, *asked]), None
        self.start(partial(tasks.keep_prompts, self, asked), "history")

    def action_lock(self) -> None:
        form = self.query_one(DrawForm)
        form.set_locked(not form.locked)

    def action_pictures_only(self) -> None:
        self.toggle_class("-pictures-only")
        self.query_one(TileGrid).focus()

    def edit(self, selector: str) -> None:
        """Go to a line of the form, which is shown if it was not."""
        line = self.query_one(selector)
        if self.has_class("-pictures-only"):
            self.remove_class("-pictures-only")
            self.call_after_refresh(line.focus)
        else:
            line.focus()

    @on(PromptsRead)
    def _prompts_read(self, message: PromptsRead) -> None:
        self.history, self._turning = list(message.prompts), None
        if message.problem:
            words = f"{message.problem}. The file is put aside at the next prompt."
            self.notify(words, title="Earlier prompts cannot be read", severity="warning", markup=False)

    @on(PromptLine.Turned)
    def _turn_history(self, message: PromptLine.Turned) -> None:
        """Older and newer prompts, with what was not wanted with them; or only that, in its own line."""
        line, negative = message.line, self.query_one("#negative", PromptLine)
        alone, paired = line is negative, self.takes_negative(line)

        def part(asked: Asked) -> Asked:
            return Asked("" if alone else asked.prompt, asked.negative if alone or paired else "")

        if self._turning is None or self._turning.line is not line:
            self._turning = Turning(line, _newest(part(asked) for asked in self.history))
        asked = self._turning.turn(message.direction, part(Asked(line.value, negative.value)))
        if asked is None:
            return
        if not alone:
            line.show(asked.prompt)
        if alone or paired:
            negative.show(asked.negative)

    def takes_negative(self, line: PromptLine) -> bool:
        """Whether an earlier prompt in ``line`` brings with it what was not wanted."""
        return True

    # The picture under the cursor

    @on(TileGrid.Opened)
    def action_zoom(self) -> None:
        path = self.picture()
        if path is not None:
            self.app.push_screen(PhotoDialog(path, self.picture_name(), self._turn))

    def _turn(self, count: int) -> tuple[Path, str] | None:
        """Go on to another finished picture; where the next one is not, stay."""
        grid = self.query_one(TileGrid)
        before = grid.cursor
        grid.action_move(count, 0)
        path = self.picture()
        if path is None:
            grid.move_to(before)
            return None
        return path, self.picture_name()

    def ask_where_to_save(self, saving: Callable[[Path], tasks.Saving], name: str) -> None:
        """Ask for a path, and save to it; ``name`` is what is offered, without its suffix."""
        folder = Path.home()
        offered = free_name(name, lambda word: (folder / f"{word}.png").exists())

        def answered(text: str | None) -> None:
            if text:
                self.start(partial(tasks.save, self, saving(tasks.destination_of(text, f"{name}.png"))), "save")

        text = "A path; a folder gets the picture under its own name."
        check = partial(tasks.destination_of, name=f"{name}.png")
        self.app.push_screen(PromptDialog("Save as", text, f"~/{offered}.png", check), answered)

    @on(AlreadyThere)
    def _ask_to_replace(self, message: AlreadyThere) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self.start(partial(tasks.save, self, message.saving, True), "save")

        text = f"{message.saving.destination} is there already."
        self.app.push_screen(ConfirmDialog("Replace it?", text, "Replace"), answered)

    def action_leave(self) -> None:
        """A step outwards: end the drawing, go from the form to the pictures, go back."""
        grid = self.query_one(TileGrid)
        if self.job is not None:
            self.cancelled()
        elif not grid.has_focus and grid.count and self.focused is not None:
            grid.focus()
        else:
            self.dismiss("")

    def cancelled(self) -> None:
        """The job is to end at once."""
        raise NotImplementedError


def _newest(asked: Iterable[Asked]) -> list[Asked]:
    """Each once, where it came last, without what is empty."""
    return [*reversed(dict.fromkeys(each for each in reversed([*asked]) if each != Asked("")))]


def recipe_line(seed: int, made: Recipe | Request, source: str = "") -> Content:
    """How a picture was made, in a line: ``source`` is what drew it."""
    facts = [plural(made.steps, "step"), f"guidance {made.guidance:g}", made.scheduler]
    facts += [printable(source)] if source else []
    facts += [f"without {printable(made.negative)}"] if made.negative else []
    rest = "".join(f" \u00b7 {fact}" for fact in facts).replace("\n", " ")
    return Content.assemble((" seed ", "$text-muted"), (str(seed), "bold"), (rest, "$text-muted"))
