"""All that is known of the entry under the library's cursor, with its newest picture."""

from __future__ import annotations

import time

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from dbtui.app.entries import Entry
from dbtui.app.widgets.entry_table import STATES
from dbtui.app.widgets.preview import Preview
from dbtui.core.errors import printable
from dbtui.core.units import format_bytes, plural


class EntryCard(Vertical):
    """Shows one entry."""

    _entry: Entry | None = None

    def compose(self) -> ComposeResult:
        yield Preview(id="card-picture")
        yield Static(id="card-facts")

    def show(self, entry: Entry | None) -> None:
        if entry == self._entry:
            return
        self._entry = entry
        self.border_title = Content(printable(entry.name)) if entry else ""
        preview = entry.preview if entry else None
        self.set_class(preview is not None, "-picture")
        self.query_one(Preview).show(preview, side=entry.resolution if entry else 0)
        self.query_one("#card-facts", Static).update(_facts(entry) if entry else "")


def _facts(entry: Entry) -> Content:
    mark, colour = STATES[entry.state]
    lines = [Content.styled(f"{mark} {_state(entry)}", f"bold ${colour}")]
    if entry.prompt:
        lines.append(Content.styled(printable(entry.prompt), "italic"))
    if entry.problem and entry.state != "stopped":
        lines.append(Content(printable(entry.problem)))
    rows = {
        "disk": "" if entry.size is None else format_bytes(entry.size),
        "size": f"{entry.resolution} px" if entry.resolution else "",
        "model": entry.base.rstrip("/").rsplit("/", 1)[-1],
        "taught": time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created)) if entry.created else "",
    }
    facts = [Content.assemble((f"{name:<7}", "$text-muted"), printable(value)) for name, value in rows.items() if value]
    return Content("\n").join([*lines, Content(""), *facts])


def _state(entry: Entry) -> str:
    if entry.state == "live":
        return f"being taught, step {entry.step:,} of {entry.steps:,}"
    if entry.state == "done":
        return f"taught in {plural(entry.steps, 'step')}"
    if entry.state in ("stopped", "failed", "lost"):
        return f"{entry.state} at step {entry.step:,} of {entry.steps:,}"
    return {"new": "not started", "damaged": "damaged"}[entry.state]
