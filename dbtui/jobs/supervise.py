"""Several trainer processes as one: ``python -m dbtui.jobs.supervise RUN_FOLDER PROCESSES``.

They are started together and end together. A wish to stop is passed on to the leading one, which
agrees on a step with the others. If one dies, the rest are ended, since they would wait for it for
ever; if this process dies, the kernel ends them. It imports no torch, so it is there at once and small.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from dbtui.core.checkpoints import checkpoints
from dbtui.core.errors import printable
from dbtui.core.events import Ended, decode
from dbtui.core.journal import JournalWriter
from dbtui.core.rank import HOST, LETTING_GO, Rank
from dbtui.core.run import Run
from dbtui.jobs.launch import engine_command, engine_environment
from dbtui.jobs.processes import cores

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

INTERVAL = 0.05
"""Seconds between two looks at the processes."""

GRACE = 10.0
"""Seconds that the leading process gets to end by itself once another has ended."""

MOST_WORDS = 65536
"""Bytes that a pipe holds for a reader that comes late."""


@dataclass(slots=True)
class Process:
    """One of the trainer's processes. ``report`` is the end of the pipe from which its last word is read."""

    rank: Rank
    popen: subprocess.Popen[bytes]
    report: int
    ended_by_us: bool = False

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        if self.alive:
            self.ended_by_us = True
            self.popen.kill()

    def last_word(self) -> Ended | None:
        """How it said that it ended, if it said anything. For a process that is gone."""
        try:
            event = decode(os.read(self.report, MOST_WORDS))
        except (BlockingIOError, ValueError):
            return None
        return event if isinstance(event, Ended) else None

    def fate(self) -> str:
        """In words: process 2 of 2 was killed by SIGKILL."""
        status = self.popen.returncode
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"Process {self.rank.index + 1} of {self.rank.count} (number {self.popen.pid}) {how}"


@dataclass(slots=True)
class Wish:
    """The signals that were heard and have not been passed on."""

    heard: list[int] = field(default_factory=list)

    def listen(self) -> Wish:
        for name in SIGNALS:
            signal.signal(name, self._hear)
        return self

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard.append(number)


def supervise(run: Run, count: int) -> int:
    """Train ``run`` in ``count`` processes, and leave an ``ended`` event whatever happens to them."""
    wish = Wish().listen()
    lock = run.claim(LETTING_GO)
    try:
        ended = train(run, count, lock.fileno(), wish)
        journal = JournalWriter(run.journal)
        journal.write(ended)
        journal.close()
        return 0 if ended.reason != "failed" else 1
    finally:
        run.release(lock)


def train(run: Run, count: int, lock: int, wish: Wish) -> Ended:
    """How the run ended; by then all processes are gone."""
    processes: list[Process] = []
    try:
        start(run, count, lock, processes)
        watch(processes, wish)
        return verdict(run, processes)
    except OSError as error:
        message = f"The processes could not be started: {printable(error)}. {kept(run)}."
        return failed(run, message, f"`dbtui resume {run.id} --processes 1` does with one.")
    finally:
        for process in processes:
            process.kill()
            process.popen.wait()


def start(run: Run, count: int, lock: int, processes: list[Process]) -> None:
    """Start the processes and add each to ``processes``.

    Each holds the run's lock too: nobody takes up the run while one of them is left.
    """
    die_with_parent = _bind_to_parent()
    with socket.create_server((HOST, 0), backlog=count) as listener:
        for index in range(count):
            here, there = os.pipe()
            os.set_blocking(here, False)
            rank = Rank(index, count, listener.getsockname()[1], listener.fileno(), there)
            files = [lock, there] + ([listener.fileno()] if rank.leads else [])
            popen = subprocess.Popen(
                engine_command("train", str(run.path)),
                stdin=subprocess.DEVNULL,
                env={**environment(count), **rank.environment()},
                pass_fds=files,
                preexec_fn=die_with_parent,
            )
            os.close(there)
            processes.append(Process(rank, popen, here))


def environment(count: int) -> dict[str, str]:
    """What all processes are told: to share the cores, and that all of them are on this machine.

    What the person has set stays.
    """
    shared = {
        "OMP_NUM_THREADS": str(max(1, cores() // count)),
        "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
        "NCCL_SOCKET_IFNAME": "lo",
    }
    return {**shared, **engine_environment()}


def _bind_to_parent() -> Callable[[], None]:
    """What a child does between fork and exec: tie its life to ours, and let signals wait until it listens.

    Only the leading process ever listens. Where the kernel is not Linux, children are left to
    themselves if this process is killed outright.
    """
    parent = os.getpid()
    library = ctypes.CDLL(None) if sys.platform == "linux" else None

    def bind() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        if library is not None:
            library.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)  # it died before the kernel was told

    return bind


def watch(processes: list[Process], wish: Wish) -> None:
    """Return once all processes are gone; when one goes, the others follow."""
    leader = processes[0]
    while all(process.alive for process in processes):
        while wish.heard:
            leader.popen.send_signal(wish.heard.pop(0))
        time.sleep(INTERVAL)
    for follower in processes[1:]:
        follower.kill()
    if leader.alive:
        leader.popen.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while leader.alive and time.monotonic() < deadline:
        time.sleep(INTERVAL)
    leader.kill()
    for process in processes:
        process.popen.wait()


def verdict(run: Run, processes: list[Process]) -> Ended:
    """How the run ended: as a process that died without a word, else as the first that reported says.

    What other processes say after one has failed is only that they lost it.
    """
    words = {process.rank.index: process.last_word() for process in processes}
    for process in processes:
        if words[process.rank.index] is None and process.popen.returncode != 0 and not process.ended_by_us:
            return died(run, process)
    said = sorted((word for word in words.values() if word is not None), key=lambda word: word.time)
    return said[0] if said else died(run, processes[0])


def died(run: Run, process: Process) -> Ended:
    """The end of a run of which one process is gone without a word."""
    why = ", as the system does when memory runs out" if process.popen.returncode == -signal.SIGKILL else ""
    return failed(
        run,
        f"{process.fate()}{why}. The others were ended. {kept(run)}.",
        f"`dbtui resume {run.id}` goes on; with `--processes 1` it needs less memory. {run.log} has the details.",
    )


def failed(run: Run, message: str, hint: str) -> Ended:
    return Ended(reason="failed", step=run.state().step, message=message, hint=hint)


def kept(run: Run) -> str:
    """What a resume would start from."""
    newest = next(iter(checkpoints(run.checkpoints)), None)
    return f"The checkpoint of step {newest.step} was kept" if newest else "There is no checkpoint yet"


if __name__ == "__main__":
    sys.exit(supervise(Run(Path(sys.argv[1])), int(sys.argv[2])))
