"""doctor: one page on everything that teaching needs, with a hint for every problem."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from dbtui.commands.options import json_option
from dbtui.core.errors import DONE, FAILED

if TYPE_CHECKING:
    from rich.table import Table

    from dbtui.jobs.checkup import Check

MARKS = {"ok": ("\u2713", "green"), "note": ("!", "yellow"), "problem": ("\u2717", "bold red")}
PLAIN_MARKS = {"ok": "+", "note": "!", "problem": "x"}
"""For an output that has no characters beyond ASCII."""

WIDEST = 100


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Check this machine: PyTorch, GPUs, disks, hub and terminal. Fails if something is in the way."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.text import Text

    from dbtui.core.tty import capabilities
    from dbtui.jobs import checkup
    from dbtui.jobs.findings import ask_engine
    from dbtui.jobs.gpus import gpus, why_no_gpu
    from dbtui.terminal import narration, result_json

    terminal = capabilities()
    with narration().status(Text("trying PyTorch ...")) as status:
        findings = ask_engine(lambda name: status.update(Text(f"trying {name.replace('_', ' ')} ...")))
        found = gpus()
        checks = [
            *checkup.check_machine(),
            *checkup.check_gpus(found, why_no_gpu()),
            *checkup.check_engine(findings, found),
            *checkup.check_folders(),
            checkup.check_hub(),
            *checkup.check_terminal(terminal),
        ]
    problems = sum(check.state == checkup.PROBLEM for check in checks)
    if as_json:
        result_json(
            {
                "problems": problems,
                "checks": [asdict(check) for check in checks],
                "gpus": [asdict(gpu) for gpu in found],
                "engine": findings,
                "terminal": asdict(terminal),
            }
        )
    else:
        console = Console(highlight=False)
        console.width = min(console.width, WIDEST)
        console.print(_page(checks, console.encoding))
        console.print(_verdict(problems, sum(check.state == checkup.NOTE for check in checks)))
    return FAILED if problems else DONE


def _page(checks: list[Check], encoding: str) -> Table:
    """A heading for each group, a line for each check, and below it the hint."""
    from rich.table import Table
    from rich.text import Text

    from dbtui.core.errors import printable

    ascii_only = not encoding.lower().startswith("utf")
    page = Table.grid(padding=(0, 1))
    page.add_column(width=1)
    page.add_column(no_wrap=True)
    page.add_column(ratio=1, overflow="fold")
    for group, those in groupby(checks, lambda check: check.group):
        page.add_row("", Text(group, "bold"), "")
        for check in those:
            mark, style = MARKS[check.state]
            mark = PLAIN_MARKS[check.state] if ascii_only else mark
            page.add_row(Text(mark, style), Text(check.label, "dim"), Text(printable(check.value)))
            if check.hint:
                page.add_row("", "", Text(printable(check.hint), "cyan"))
    return page


def _verdict(problems: int, notes: int) -> str:
    from dbtui.core.units import plural

    if problems:
        return f"\n[bold red]{plural(problems, 'problem')}[/] in the way, {plural(notes, 'note')}."
    return f"\n[green]Nothing is in the way.[/] {plural(notes, 'note')}."
