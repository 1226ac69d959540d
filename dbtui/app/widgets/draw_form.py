"""How pictures are to be drawn: numbers, a scheduler, a seed that is kept or not, and with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from dbtui.app.widgets.choice import Choice
from dbtui.app.widgets.field_row import Line
from dbtui.app.widgets.spin import Spin
from dbtui.core.config import FIELDS
from dbtui.core.errors import UsageError
from dbtui.core.fields import Field, Value

MOST = 6
"""Rows, and columns, of a grid: thirty-six pictures are as many as one looks at."""

SPECS: dict[str, Field] = {
    "rows": Field("drawing", "rows", int, 3, "rows", "Rows of pictures.", low=1, high=MOST),
    "columns": Field("drawing", "columns", int, 3, "columns", "Pictures in a row.", low=1, high=MOST),
    "seed": Field(
        "drawing", "seed", int, 0, "seed", "The same seed gives the same noise.", low=0, high=2**63 - MOST**2
    ),
    "steps": FIELDS["sampling.steps"],
    "guidance": FIELDS["sampling.guidance"],
    "scheduler": FIELDS["sampling.scheduler"],
}

WIDTHS = {"rows": 4, "columns": 4, "steps": 6, "guidance": 6, "seed": 13}

SEEDS = {"random": "random", "locked": "locked"}


class DrawForm(Vertical):
    """Lines of editors; what is typed is checked when it is asked for."""

    def __init__(self, lines: Sequence[Sequence[str]], sources: Mapping[str, str], values: Mapping[str, str]) -> None:
        """``lines`` are names of SPECS, or ``weights``, which is one of ``sources`` (values and their words).

        ``values`` are texts that are not the defaults.
        """
        super().__init__(id="draw-form")
        self._lines, self._sources = lines, sources
        self._values = {name: spec.format(spec.default) for name, spec in SPECS.items()} | {"seed": ""} | dict(values)

    def compose(self) -> ComposeResult:
        for names in self._lines:
            with Horizontal():
                for name in names:
                    yield Static(name, classes="label")
                    yield self._editor(name)
                    if name == "seed":
                        yield Choice(SEEDS, self._values.get("lock", "random"), id="lock")

    def _editor(self, name: str) -> Spin | Line:
        if name == "weights":
            return Spin(self._sources, self._values.get(name, [*self._sources][-1]), id=name)
        spec, text = SPECS[name], self._values[name]
        if spec.choices:
            return Spin({choice: choice for choice in spec.choices}, text, id=name)
        line = Line(text, replaced=True)
        line.id, line.placeholder = name, "random" if name == "seed" else ""
        line.styles.width = WIDTHS[name]
        return line

    @property
    def locked(self) -> bool:
        """Whether the seed stays."""
        return self.query_one("#lock", Choice).value == "locked"

    def set_locked(self, locked: bool) -> None:
        self.query_one("#lock", Choice).value = "locked" if locked else "random"

    def editor(self, name: str) -> Line | Choice:
        found = self.query_one(f"#{name}")
        assert isinstance(found, Line | Choice)
        return found

    def set(self, name: str, value: Value) -> None:
        """Show ``value``."""
        with self.prevent(Input.Changed):
            self.editor(name).value = SPECS[name].format(value) if name in SPECS else str(value)

    def texts(self) -> dict[str, str]:
        """All as it stands, to begin with the next time; ``lock`` is among them, what draws is not."""
        names = [name for line in self._lines for name in line if name != "weights"]
        return {name: self.editor(name).value for name in names} | {"lock": self.query_one("#lock", Choice).value}

    def value(self, name: str) -> Value:
        """What the field says. Raises UsageError, and takes one to the field, if it cannot be read."""
        editor = self.editor(name)
        try:
            return SPECS[name].parse(editor.value)
        except UsageError as error:
            editor.focus()
            raise UsageError(f"{name.capitalize()} cannot be {editor.value!r}", error.message, error.hint) from None

    def seed(self, fresh: int) -> int:
        """The seed that is locked, else ``fresh``, which is shown from now on. Raises UsageError."""
        if self.locked and self.editor("seed").value.strip():
            return int(self.value("seed"))  # type: ignore[arg-type]
        self.set("seed", fresh)
        return fresh

    @on(Input.Changed, "#seed")
    def _seed_typed(self, event: Input.Changed) -> None:
        """Who types a seed means it."""
        event.stop()
        self.set_locked(bool(event.value.strip()))

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        name = str(event.input.id)
        try:
            if event.value.strip() or name != "seed":
                SPECS[name].parse(event.value)
        except UsageError:
            event.input.add_class("-bad")
        else:
            event.input.remove_class("-bad")


def heading(text: str) -> Content:
    """The word before a line of the form."""
    return Content.styled(f" {text}", "$text-muted")
