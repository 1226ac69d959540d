"""The place of one process among those that train a run together, as its environment tells it."""

from __future__ import annotations

import os
from dataclasses import dataclass

HOST = "127.0.0.1"

LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What launchers of torch tell their processes."""

LETTING_GO = 20.0
"""Seconds in which the processes of a trainer that was killed are gone; one that uses a GPU takes a few."""

LISTENER, REPORT = "DBTUI_LISTENER", "DBTUI_REPORT"


@dataclass(frozen=True, slots=True)
class Rank:
    """Process ``index`` (from 0) of ``count``; the first one leads: it alone writes into the run's folder.

    ``listener`` is the number of the open file on which the leader hears the others on ``port``: a socket
    that listens already, since a free port that is merely looked up may be taken a moment later.
    ``report`` is that of the pipe into which a process writes how it ended.
    """

    index: int
    count: int
    port: int
    listener: int
    report: int

    @property
    def leads(self) -> bool:
        return self.index == 0

    def environment(self) -> dict[str, str]:
        """These facts as ``of_environment`` reads them, and as accelerate does."""
        index, count = str(self.index), str(self.count)
        values = (index, index, count, count, HOST, str(self.port))
        return {
            **dict(zip(LAUNCHER_VARIABLES, values, strict=True)),
            LISTENER: str(self.listener),
            REPORT: str(self.report),
        }

    @classmethod
    def of_environment(cls) -> Rank | None:
        """This process's place; None if it trains alone."""
        if REPORT not in os.environ:
            return None
        names = ("RANK", "WORLD_SIZE", "MASTER_PORT", LISTENER, REPORT)
        return cls(*(int(os.environ[name]) for name in names))
