"""What a comparison has side by side, chosen from all that can draw."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import SelectionList, Static
from textual.widgets.selection_list import Selection

from dbtui.app.keys import bindings
from dbtui.app.widgets.key_bar import KeyBar
from dbtui.core.base_model import MINI
from dbtui.core.errors import printable
from dbtui.core.library import Concept, concepts
from dbtui.core.run import Run
from dbtui.core.sources import Source, by_name, of_base, of_concept, sources_of

MOST = 12
"""Columns of a table."""

FIRST = 4
"""Columns that are chosen at first, if there are so many."""


class Columns:
    """All that a concept, or a run that has not become one, can be compared with, and what is chosen of that."""

    def __init__(self, subject: Concept | Run) -> None:
        own = sources_of(subject)
        known = [(source.concept, source.checkpoint, source.base) for source in own]
        others = [source for source in _others() if (source.concept, "", source.base) not in known]
        self.sources = by_name([*own, *others])
        """By their names."""
        self.words = {
            name: f"{name}, taught" if source.concept and source not in own else source.label
            for name, source in self.sources.items()
        }
        """Their headings, by the same names."""
        names = list(self.sources)[: len(own)]
        self.chosen = names if len(names) <= FIRST else [names[0], *names[1 - FIRST :]]
        """Names, in the order of the table."""
        self.note = _note(own)
        """A sentence on what there is of the subject's own training."""


def _note(own: list[Source]) -> str:
    steps = [source.label for source in own if source.checkpoint]
    if not steps and not any(source.concept for source in own):
        return "Its training has kept no checkpoint: there is only the model as it was before."
    if not steps:
        return "Its training kept no checkpoint: there is only before and after."
    if len(steps) == 1:
        return f"Its training kept one checkpoint, {steps[0]}."
    return f"Its training kept {len(steps)} checkpoints: {', '.join(steps)}."


def _others() -> list[Source]:
    """All concepts, and the embedded model."""
    try:
        found = [of_concept(concept) for concept in concepts() if not concept.problem]
    except OSError:
        found = []
    return [*found, of_base(MINI)]


class SourceList(SelectionList[str]):
    """Space takes an entry in or leaves it out; so does a click."""

    KEYS: ClassVar[str] = "columns"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("columns")]


class ColumnsDialog(ModalScreen[list[str] | None]):
    """Answers with the names of what was chosen, in the list's order; None if nothing is to change."""

    def __init__(self, words: Mapping[str, str], chosen: Collection[str], note: str) -> None:
        """``words`` of each name; ``note`` is a sentence on what is there."""
        super().__init__()
        self._words, self._chosen, self._note = words, chosen, note

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Columns"
            dialog.border_subtitle = "space: take in, leave out \u00b7 enter: compare these \u00b7 esc: cancel"
            yield Static(Content(printable(self._note)), classes="dialog-text")
            entries = (Selection(Content(printable(w)), name, name in self._chosen) for name, w in self._words.items())
            yield SourceList(*entries, id="columns", compact=True)
            yield Static(classes="dialog-problem")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(SourceList).focus()

    def action_done(self) -> None:
        chosen = set(self.query_one(SourceList).selected)
        if 0 < len(chosen) <= MOST:
            self.dismiss([name for name in self._words if name in chosen])
        else:
            words = f"At most {MOST} can be compared." if chosen else "Choose at least one."
            self.query_one(".dialog-problem", Static).update(words)

    def action_cancel(self) -> None:
        self.dismiss(None)
