"""bench: how fast this machine trains and draws."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbtui.commands.options import json_option
from dbtui.core.errors import DONE, INTERRUPTED, UsageError

if TYPE_CHECKING:
    from rich.table import Table


WIDTH = 136
"""Columns of the table at least: it is as often kept in a file as read in a window."""


@click.command()
@click.option("--model", type=click.Choice(("sd15", "mini")), help="sd15 on an NVIDIA GPU, else mini, if left out.")
@click.option("--batch", default="2", show_default=True, metavar="N,...", help="Photos a step.")
@click.option("--resolution", default="", metavar="PX,...", help="The model's own if left out.")
@click.option("--steps", type=click.IntRange(2, 10_000), default=50, show_default=True, help="Training steps each.")
@click.option("--draw-steps", type=click.IntRange(0, 1000), default=25, show_default=True, help="0 draws nothing.")
@click.option("--precision", type=click.Choice(("auto", "bf16", "fp16", "no")), default="auto", show_default=True)
@click.option(
    "--against", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="SCRIPT",
    help="Time this train_dreambooth.py of diffusers beside it, and its pipeline beside the sampling.",
)  # fmt: skip
@click.option(
    "--arguments", default="", metavar="WORDS", help='More for the script, as in "--use_8bit_adam --allow_tf32".'
)
@click.option(
    "--whole", type=click.IntRange(0, 100_000), default=0, metavar="STEPS",
    help="Also time a whole training of so many steps, from the command to the concept, part by part.",
)  # fmt: skip
@click.option(
    "--processes", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N",
    help="Of the whole training, each on a GPU of its own.",
)  # fmt: skip
@json_option
def bench(
    model: str | None, batch: str, resolution: str, steps: int, draw_steps: int, precision: str, against: Path | None,
    arguments: str, whole: int, processes: int, as_json: bool,
) -> int:  # fmt: skip
    """Measure how fast this machine trains and draws.

    It works on random weights: nothing is downloaded or kept.
    The floor is the time that the step's matrix products and the optimizer's memory traffic would take at the best
    rates that this device reached just before.
    """
    from dbtui.core import paths
    from dbtui.core.benchmark import Order
    from dbtui.jobs.bench import measure
    from dbtui.terminal import narration, result_json, say

    order = Order(
        model=model or "",
        batches=_numbers("--batch", batch),
        resolutions=_numbers("--resolution", resolution) if resolution else [],
        steps=steps,
        draw_steps=draw_steps,
        precision=precision,
        against=str(against.absolute()) if against else "",
        arguments=_words("--arguments", arguments),
        whole=whole,
        processes=processes,
    )
    device: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    interrupted = False
    log = paths.make_private(paths.data_dir()) / "bench.log"
    with narration().status("loading the libraries") as status:
        messages = measure(order, log)
        try:
            for message in messages:
                kind = message.pop("kind")
                if kind == "device":
                    device = message
                elif kind == "measuring":
                    status.update(message["words"])
                    if not status.console.is_terminal:  # where a line that is redrawn is not seen
                        say(message["words"])
                else:
                    rows.append(message)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            messages.close()  # type: ignore[attr-defined]
    if as_json:
        result_json({**device, "rows": rows, "interrupted": interrupted})
    elif rows:
        from rich.console import Console

        Console(highlight=False, width=max(WIDTH, Console().width)).print(table(device, rows))
    if interrupted:
        say("Interrupted.")
    return INTERRUPTED if interrupted else DONE


def _numbers(option: str, text: str) -> list[int]:
    """``1,2,4`` as numbers above 0. Raises UsageError."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise UsageError(f"{option} cannot be {text}", "Nothing was measured.", f"As in {option} 1,2,4.")
    return numbers


def _words(option: str, text: str) -> list[str]:
    """``text`` as a shell takes it apart. Raises UsageError."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(
            f"{option} cannot be {text}", f"{error}. Nothing was measured.", f"As in {option} '--use_8bit_adam'."
        ) from error


def table(device: dict[str, Any], rows: list[dict[str, Any]]) -> Table:
    """What was measured, a line for each setting."""
    from rich.table import Table

    from dbtui.core.errors import printable
    from dbtui.core.units import format_bytes

    page = Table(title=printable(f"{device.get('words', '')}, torch {device.get('torch', '')}"), title_justify="left")
    for name in ("", "model", "px", "batch", "precision", "how", "ms", "pictures/s", "memory", "floor"):
        page.add_column(name, justify="left" if name in ("", "model", "precision", "how") else "right")
    for row in rows:
        numbers = (
            ("-" if row["milliseconds"] is None else f"{row['milliseconds']:,.1f}"),
            ("-" if row["pictures"] is None else f"{row['pictures']:.2f}"),
            ("-" if row["memory"] is None else format_bytes(row["memory"])),
            ("-" if row["floor"] is None else f"{row['floor']:.0%}"),
        )
        how = printable(row["problem"] or row["how"])
        page.add_row(
            printable(row["what"]),
            row["model"],
            str(row["resolution"]),
            str(row["batch"]),
            row["precision"],
            how,
            *numbers,
        )
    return page
