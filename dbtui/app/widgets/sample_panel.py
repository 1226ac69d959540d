"""The newest sample of a run, and the earlier ones to go through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from dbtui.app.widgets.preview import Preview
from dbtui.core.errors import printable
from dbtui.core.events import Sample


class SamplePanel(Vertical):
    """Follows the newest sample until an earlier one is asked for."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._folder = Path()
        self._samples: Sequence[Sample] = ()
        self._due = 0
        self.chosen: int | None = None
        """The place of the sample that was asked for; None follows the newest."""

    def compose(self) -> ComposeResult:
        yield Preview(id="sample-picture")
        yield Static(id="sample-words")

    def on_mount(self) -> None:
        self._draw()

    def show(self, folder: Path, samples: Sequence[Sample], due: int) -> None:
        """The samples of the run in ``folder``; ``due`` is the step of the next, 0 if none comes by itself."""
        if (samples, due) != (self._samples, self._due):
            self._folder, self._samples, self._due = folder, samples, due
            self._draw()

    def scrub(self, count: int) -> None:
        """Go ``count`` samples further; going beyond the last follows the newest again."""
        if self._samples:
            place = self._place + count
            self.chosen = None if place >= len(self._samples) - 1 else max(0, place)
            self._draw()

    @property
    def current(self) -> tuple[Path, str] | None:
        """The picture that is shown, and what it is of."""
        if not self._samples:
            return None
        sample = self._samples[self._place]
        return self._folder / sample.path, f"step {sample.step:,} \u00b7 {' | '.join(sample.prompts)}"

    @property
    def _place(self) -> int:
        last = len(self._samples) - 1
        return last if self.chosen is None else min(self.chosen, last)

    def _draw(self) -> None:
        if not self._samples:
            self.border_title = "sample"
            words = f"The next sample comes at step {self._due:,}." if self._due else "No samples."
            self.query_one("#sample-words", Static).update(words)
            self.query_one(Preview).show(None)
            return
        place = self._place
        sample = self._samples[place]
        self.border_title = Content(f"sample \u00b7 step {sample.step:,}")
        self.border_subtitle = Content(f"[ {place + 1} of {len(self._samples)} ]")
        self.query_one(Preview).show(self._folder / sample.path, max(1, len(sample.prompts)), max(1, len(sample.seeds)))
        self.query_one("#sample-words", Static).update(Content(printable(" | ".join(sample.prompts))))
