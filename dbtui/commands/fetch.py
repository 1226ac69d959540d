"""The download of a base model as a person at the command line sees it: asked about, and followed."""

from __future__ import annotations

import sys

from dbtui.core.download import ASKING, Plan, fetch, plan_missing
from dbtui.core.errors import DbtuiError
from dbtui.core.events import Phase
from dbtui.core.meter import Meter
from dbtui.core.receive import Listener
from dbtui.terminal import StatusLine, ask, phase_line, say

NOTABLE = 1 << 20
"""Bytes; a smaller file is here before a line about it is read."""


class DownloadView:
    """The phases of a download, in a line on standard error."""

    def __init__(self) -> None:
        self._meter, self._status = Meter(), StatusLine()

    def __enter__(self) -> Listener:
        return Listener(self._progress, lambda sentence: self._status.lasting(sentence, "yellow"))

    def __exit__(self, *_: object) -> None:
        self._status.close()

    def _progress(self, phase: str, done: int, total: int) -> None:
        before = self._meter.phase
        self._meter.add(Phase(name=phase, done=done, total=total, unit="bytes" if total else ""))
        changed = before is None or before.name != phase
        if changed and (phase == ASKING or total > NOTABLE) and not self._status.is_live:
            self._status.lasting(phase_line(self._meter))
        self._status.show(lambda: phase_line(self._meter))


def plan_in_view(name: str, safety: bool = False) -> Plan | None:
    """What is to be downloaded of the model ``name``, after a word with the hub; None if all of it is here."""
    with DownloadView() as listener:
        return plan_missing(name, listener, safety)


def agree_to(plan: Plan) -> None:
    """Say what will be downloaded, and ask where somebody can answer. Raises DbtuiError on a no."""
    say(plan.words())
    if sys.stdin.isatty() and ask("Download it?", {"y": "yes", "n": "no"}, "y") == "n":
        raise DbtuiError(
            "Nothing was started",
            f"{plan.snapshot.name} was not downloaded.",
            "--model mini needs no download; a folder with a model can be named as well.",
        )


def fetch_here(name: str, safety: bool = False) -> None:
    """See to it that the model ``name`` is on this machine, and wait for that."""
    plan = plan_in_view(name, safety)
    if plan is None:
        return
    if plan.weights:
        agree_to(plan)
    try:
        with DownloadView() as listener:
            fetch(plan, listener)
    except KeyboardInterrupt:
        say("What arrived was kept; the next download goes on from there.")
        raise
