"""Start a trainer that outlives its starter: its own session, no terminal, output to a file."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from dbtui.core.errors import DbtuiError, printable
from dbtui.core.rank import LAUNCHER_VARIABLES
from dbtui.core.run import Run
from dbtui.jobs.processes import share

PATIENCE = 30.0
"""Seconds in which a new trainer must have claimed its run; it takes a fraction of one."""


def launch(run: Run, processes: int | str | None = None) -> int:
    """Start the trainer of ``run`` and return its process number once it has claimed the run.

    ``processes`` (a number or ``auto``) instead of those that the run was begun with.
    Raises UsageError if the machine cannot do with that many, DbtuiError if the run has a trainer
    already, or if the new one does not come up.
    """
    training = run.config.training
    count = share(training, training.processes if processes is None else processes)
    if run.state().name == "live":
        raise _taken(run)
    deadline = time.monotonic() + PATIENCE
    while run.trainer() is not None and time.monotonic() < deadline:
        time.sleep(0.02)  # it has said how it ended and is about to go
    for request in (run.path / "control").glob("*.json"):
        request.unlink()  # wishes to a trainer that is gone
    with open(run.log, "ab") as log:
        process = subprocess.Popen(
            trainer_command(run, count),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=run.path,
            start_new_session=True,
            env=engine_environment(),
        )
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        trainer = run.trainer()
        if trainer is not None and trainer[0] == process.pid:
            return process.pid
        if process.poll() is not None:
            if run.state().over and run.state().name not in ("new", "lost"):
                return process.pid
            if trainer is not None:  # somebody else's, which was faster
                raise _taken(run)
            break
        time.sleep(0.02)
    raise DbtuiError(
        "The trainer did not start",
        f"{_last_line(run).rstrip('.') or 'It said nothing'}. The run's folder was kept: {printable(run.path)}.",
        f"Try `dbtui resume {run.id}`; {printable(run.log)} has the details.",
    )


def _taken(run: Run) -> DbtuiError:
    return DbtuiError("The run has a trainer", f"{run.id} is being trained.", f"Watch it with `dbtui follow {run.id}`.")


def trainer_command(run: Run, processes: int) -> list[str]:
    """The trainer as a command: the engine itself, or a supervisor of several."""
    if processes == 1:
        return engine_command("train", str(run.path))
    return [sys.executable, "-P", "-m", "dbtui.jobs.supervise", str(run.path), str(processes)]


def engine_command(*arguments: str) -> list[str]:
    """The engine as a command. ``-P``: nothing is imported from the folder it happens to run in."""
    return [sys.executable, "-P", "-m", "dbtui.engine", *arguments]


def engine_environment() -> dict[str, str]:
    """This process's environment, for a process that works alone and numbers GPUs as the driver does.

    Python's output is unbuffered, so that the log is never behind. Threads sleep while they wait for each
    other: where two processes want the same cores, as when pictures are drawn while a model is trained on a CPU,
    threads that spin make both many times slower. MKL computes the same whatever address memory happens to have:
    without that a resume, or the picture that proves an export, differs in the last bits on new Intel processors.
    """
    kept = {name: value for name, value in os.environ.items() if name not in LAUNCHER_VARIABLES}
    steady = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "OMP_WAIT_POLICY": "PASSIVE", "MKL_CBWR": "AUTO,STRICT"}
    return {**steady, **kept, "PYTHONUNBUFFERED": "1"}


def _last_line(run: Run) -> str:
    text = run.log.read_text(encoding="utf-8", errors="replace") if run.log.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    return printable(lines[-1]) if lines else ""
