"""The machine's GPUs, a line or two each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from dbtui.app.widgets.run_words import meter

if TYPE_CHECKING:
    from dbtui.jobs.gpus import Gpu

GB = 1024**3


class GpuPanel(Static):
    """Shows readings; a sentence where there is nothing to read."""

    def on_mount(self) -> None:
        self.border_title = "GPU"

    def show(self, gpus: Sequence[Gpu], reason: str) -> None:
        self.set_class(not gpus, "-none")
        if not gpus:
            self.update(Content.styled(reason or "There is no GPU.", "$text-muted"))
            return
        width = max(16, self.content_size.width or 26)
        lines = [line for gpu in gpus for line in _lines(gpu, width, len(gpus) > 2)]
        self.update(Content("\n").join(lines), layout=len(lines) != self.content_size.height)


def _lines(gpu: Gpu, width: int, terse: bool) -> list[Content]:
    """A GPU's name, then how busy and how full it is; of many GPUs the second line alone."""
    busy = "  \u2013" if gpu.utilisation is None else f"{gpu.utilisation:3}%"
    memory = f"{gpu.used / GB:.0f}/{gpu.total / GB:.0f} GB" if gpu.total else ""
    heat = "" if gpu.temperature is None else f" {gpu.temperature}\u00b0C"
    power = "" if gpu.power is None else f" {gpu.power:.0f} W"
    room = width - len(busy) - len(memory) - 6
    bar = meter(gpu.used / gpu.total if gpu.total else 0, max(2, room))
    second = Content.assemble((f"{gpu.index} ", "$text-muted"), (busy, "bold"), "  ", bar, f"  {memory}")
    if terse:
        return [second]
    name = gpu.name.removeprefix("NVIDIA ")[: max(4, width - len(heat + power))]
    return [Content.assemble(name, (f"{heat}{power}", "$text-muted")), second]
