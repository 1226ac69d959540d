"""The app in tmux: a real terminal that can be typed into, looked at, resized, attached twice and killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PATIENCE = 60.0
"""Seconds in which what is waited for must come; most of it takes one, and the first step of a training ten."""

CONFIG = """
set -s exit-empty off
set -g remain-on-exit on
set -g status off
"""
"""The server outlives its last session, so that the next one does not find it just ending; a program's end stays to
be seen, and all lines of a window are the program's.

``window-size manual`` is not here, since tmux 3.3a dies of it; ``resize-window`` sets it for its window.
"""


class Tmux:
    """A tmux server of its own, with a session for each window that is looked at."""

    def __init__(self, folder: Path) -> None:
        config = folder / "tmux.conf"
        config.write_text(CONFIG)
        self._server = ["tmux", "-S", str(folder / "tmux"), "-f", str(config)]

    def __enter__(self) -> Tmux:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([*self._server, "kill-server"], capture_output=True)

    def do(self, *command: str, stdin: str | None = None) -> str:
        return subprocess.run(
            [*self._server, *command], check=True, capture_output=True, text=True, encoding="utf-8", input=stdin
        ).stdout

    def open(self, name: str, columns: int, rows: int, prefix: Sequence[str] = ()) -> Window:
        """``dbtui`` in a session ``name``; ``prefix`` comes before the command."""
        command = [*prefix, sys.executable, "-m", "dbtui"]
        # The size of the shell that this was started from must not be believed.
        shell = {"COLUMNS": "80", "LINES": "24"}
        environment = {**shell, "COLORTERM": "truecolor", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        subprocess.run(
            [*self._server, "new-session", "-d", "-s", name, "-x", str(columns), "-y", str(rows), *command],
            check=True,
            env={**os.environ, **environment, "LC_ALL": "C.UTF-8"},
        )
        window = Window(self, name)
        window.resize(columns, rows)
        return window


class Window:
    """What is on the screen of a session."""

    def __init__(self, tmux: Tmux, name: str) -> None:
        self._tmux, self._name = tmux, name

    @property
    def text(self) -> str:
        return self._tmux.do("capture-pane", "-p", "-t", self._name)

    def keys(self, *names: str) -> None:
        """Press keys by tmux's names for them."""
        self._tmux.do("send-keys", "-t", self._name, *names)

    def type(self, text: str) -> None:
        self._tmux.do("send-keys", "-t", self._name, "-l", text)

    def paste(self, text: str) -> None:
        """As a terminal pastes: with brackets, where the program has asked for them."""
        self._tmux.do("load-buffer", "-", stdin=text)
        self._tmux.do("paste-buffer", "-p", "-t", self._name)

    def resize(self, columns: int, rows: int) -> None:
        self._tmux.do("resize-window", "-t", self._name, "-x", str(columns), "-y", str(rows))
        self._until(lambda: self._ask("#{pane_width} #{pane_height}"), f"{columns} {rows}")

    def ends(self) -> None:
        """Wait until the program has ended, as one does where nothing went wrong."""
        # Some releases of tmux leave the status of a pane empty.
        self._until(lambda: self._ask("#{pane_dead} #{?pane_dead_status,#{pane_dead_status},0}"), "1 0")

    @property
    def pid(self) -> int:
        return int(self._ask("#{pane_pid}"))

    def kill(self) -> None:
        """Close the terminal on the program, as a lost connection does."""
        self._tmux.do("kill-session", "-t", self._name)

    def sees(self, *words: str) -> str:
        """Wait until all the words are on the screen, and return it."""
        return self.until(lambda text: all(word in text for word in words))

    def until(self, condition: Callable[[str], object]) -> str:
        deadline = time.monotonic() + PATIENCE
        while not condition(text := self.text):
            assert time.monotonic() < deadline, f"it did not come; the screen is\n{text}"
            time.sleep(0.05)
        return text

    def _ask(self, format: str) -> str:
        return self._tmux.do("display-message", "-p", "-t", self._name, format).strip()

    def _until(self, value: Callable[[], str], expected: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while (found := value()) != expected:
            assert time.monotonic() < deadline, f"it is {found!r}, not {expected!r}; the screen is\n{self.text}"
            time.sleep(0.05)
