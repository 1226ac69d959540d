"""A modelled terminal: it answers as a chosen one would, as late as is wished, and keeps what it was sent."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 30.0
LAST_QUESTION = b"\x1b[c"
KEPT_OUT = (
    "TMUX",
    "STY",
    "ZELLIJ",
    "COLORTERM",
    "TERM_PROGRAM",
    "SSH_CONNECTION",
    "SSH_TTY",
    "NO_COLOR",
    "TEXTUAL_DRIVER",
)


class ModelTerminal:
    """The screen's end of a pty on which a program runs."""

    def __init__(self, process: subprocess.Popen[bytes], handle: int, answers: bytes, delay: float) -> None:
        self.process = process
        self.written = b""
        self._handle, self._answers, self._delay = handle, answers, delay
        self._due: list[float] = []

    def pump(self, seconds: float) -> bytes:
        """Read for so long, and answer when it is time."""
        deadline, came = time.monotonic() + seconds, b""
        while (now := time.monotonic()) < deadline:
            if self._due and self._due[0] <= now:
                self._due.pop(0)
                os.write(self._handle, self._answers)
            if select.select([self._handle], [], [], 0.02)[0]:
                try:
                    data = os.read(self._handle, 65536)
                except OSError:  # the program has gone
                    break
                came += data
                if self._answers:
                    self._due += [time.monotonic() + self._delay] * data.count(LAST_QUESTION)
        self.written += came
        return came

    def until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.written[-3000:]
            self.pump(0.05)

    def wait_for(self, text: str) -> None:
        self.until(lambda: text.encode() in self.written)

    def wait_until_quiet(self) -> None:
        self.until(lambda: not self.pump(0.4))

    def type(self, text: str) -> None:
        os.write(self._handle, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._handle, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def mode(self) -> list[Any]:
        return termios.tcgetattr(self._handle)

    @property
    def graphics(self) -> list[str]:
        """The keys of each sequence of kitty's graphics that was sent, but for the question."""
        return [keys.decode() for keys in re.findall(rb"\x1b_G([^;\x1b]*)", self.written) if b"a=q" not in keys]

    def numbers(self, action: str) -> list[str]:
        """Numbers of the pictures that were sent (``t``) or freed (``d``)."""
        return [match[1] for keys in self.graphics if f"a={action}," in keys and (match := re.search(r"i=(\d+)", keys))]


@contextmanager
def open_terminal(
    command: list[str], answers: bytes = b"", delay: float = 0.0, size: tuple[int, int] = (80, 24), **environment: str
) -> Iterator[ModelTerminal]:
    """``command`` of Python in a terminal that gives ``answers`` after ``delay`` seconds."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in KEPT_OUT}
    process = subprocess.Popen(
        # A session of its own, whose terminal this is.
        [sys.executable, "-c", f"import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, [sys.executable, *{command!r}])"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**kept, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(theirs)
    terminal = ModelTerminal(process, ours, answers, delay)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.fixture
def terminal() -> Callable[..., AbstractContextManager[ModelTerminal]]:
    """``with terminal(command, answers, delay) as t``: a program in a terminal that answers so."""
    return open_terminal


def answers(name: str = "", abilities: str = "62", cell: str = "", kitty: bool = False, exact: bool = False) -> bytes:
    """What a terminal says that calls itself ``name``."""
    parts = [
        "\x1bP1$r0;48:2::1:2:3m\x1b\\" if exact else "",
        "\x1b_Gi=31;OK\x1b\\" if kitty else "",
        f"\x1b[6;{cell}t" if cell else "",
        f"\x1bP>|{name}\x1b\\" if name else "",
        f"\x1b[?{abilities}c",
    ]
    return "".join(parts).encode()


TERMINALS = {
    "kitty": answers("kitty(0.41.1)", cell="20;10", kitty=True, exact=True),
    "ghostty": answers("ghostty 1.2.0", cell="36;18", kitty=True),
    "wezterm": answers("WezTerm 20240203", "65;4;6;18;22", cell="22;11", kitty=True),
    "konsole": answers("Konsole 25.04.0", "62;1;4", cell="19;9", kitty=True, exact=True),
    "xterm": answers("XTerm(379)", "63;1;2;4;6;9;15;16;22;28", exact=True),
    "vt340": answers(abilities="63;1;2;4;6;9;15;22"),
    "plain": answers(abilities="6"),
    "tmux": answers("tmux 3.5a", "1;2;4"),
    "mute": b"",
}
"""What some say of themselves; tmux at the far end of an ssh claims to know Sixel."""


@pytest.fixture
def tells() -> dict[str, bytes]:
    return TERMINALS


@pytest.fixture
def fake_tmux(tmp_path: Path) -> Callable[[str, str], dict[str, str]]:
    """``fake_tmux(client, passthrough)`` is an environment in which tmux tells this of the terminal around it."""

    def make(client: str, passthrough: str) -> dict[str, str]:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "tmux").write_text(
            f"#!/bin/sh\ncase $1 in display-message) echo '{client}';; *) echo {passthrough};; esac\n"
        )
        (folder / "tmux").chmod(0o755)
        return {"PATH": f"{folder}:{os.environ['PATH']}", "TMUX": "/tmp/none,1,0", "TERM": "tmux-256color"}

    return make
