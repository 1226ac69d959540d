"""The terminal is asked once, believed with care, and nothing of its answers is left for others to read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from dbtui.core.errors import UsageError
from dbtui.core.tty import capabilities, parse_images

ASK = """
import sys
from dbtui.core.tty import capabilities
found = capabilities()
print("FOUND", found.pictures, found.colours, *found.cell, found.within or "-", flush=True)
print("LINE", repr(sys.stdin.readline()), flush=True)
"""


@pytest.mark.parametrize(
    ("name", "delay", "expected"),
    [
        ("kitty", 0.0, "kitty truecolor 10 20 -"),
        ("kitty", 0.5, "kitty truecolor 10 20 -"),
        ("ghostty", 0.0, "kitty truecolor 18 36 -"),
        ("wezterm", 0.5, "sixel truecolor 11 22 -"),
        ("konsole", 0.0, "blocks truecolor 9 19 -"),
        ("xterm", 0.0, "sixel truecolor 10 20 -"),
        ("vt340", 0.0, "sixel 256 10 20 -"),
        ("plain", 0.5, "blocks 256 10 20 -"),
        ("tmux", 0.0, "blocks truecolor 10 20 tmux"),
        ("mute", 0.0, "blocks 256 10 20 -"),
    ],
)
def test_a_terminal_is_understood_and_its_input_left_as_it_was(
    name: str, delay: float, expected: str, terminal: Callable[..., Any], tells: dict[str, bytes]
) -> None:
    with terminal(["-c", ASK], tells[name], delay) as screen:
        before = screen.mode
        screen.wait_for("FOUND")
        screen.pump(0.1)
        assert f"FOUND {expected}\r\n" in screen.written.decode()
        assert screen.mode == before
        screen.type("typed\n")
        screen.wait_for("LINE 'typed\\n'")


def test_an_interrupt_while_asking_leaves_the_terminal_as_it_was(terminal: Callable[..., Any]) -> None:
    with terminal(["-c", ASK], b"") as screen:
        before = screen.mode
        screen.wait_for("\x1b[c")
        assert screen.mode != before
        screen.type("\x03")
        screen.wait_for("KeyboardInterrupt")
        assert screen.mode == before


@pytest.mark.parametrize(
    ("client", "passthrough", "expected"),
    [
        ("xterm-kitty|kitty(0.41)|256,RGB|9|18", "on", "kitty truecolor 9 18 tmux"),
        ("xterm-kitty|kitty(0.41)|256,RGB|9|18", "off", "blocks truecolor 9 18 tmux"),
        ("xterm-256color|ghostty 1.2|256|9|18", "on", "blocks 256 9 18 tmux"),
        ("xterm-256color|XTerm(379)|256,sixel|0|0", "off", "sixel 256 10 20 tmux"),
        ("xterm-256color|||| ", "", "blocks 256 10 20 tmux"),
        ("", "", "blocks 256 10 20 tmux"),
    ],
)
def test_tmux_is_asked_instead_of_the_terminal(
    client: str, passthrough: str, expected: str, terminal: Callable[..., Any], fake_tmux: Any
) -> None:
    with terminal(["-c", ASK], b"\x1b[?1;2;4c", **fake_tmux(client, passthrough)) as screen:
        screen.wait_for("\n")
        assert screen.written.decode().split("\r\n")[0] == f"FOUND {expected}"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"COLORTERM": "truecolor"}, "sixel truecolor"),
        ({"STY": "1.pts", "COLORTERM": "truecolor", "TERM": "screen-256color"}, "blocks 256"),
        ({"TERM": "linux"}, "half 16"),
        ({"TERM": "vt220"}, "sixel 16"),
        ({"TERM": "xterm-kitty"}, "sixel truecolor"),
        ({"TERM": "dumb"}, "half truecolor"),
    ],
)
def test_the_environment_is_heard(
    environment: dict[str, str], expected: str, terminal: Callable[..., Any], tells: dict[str, bytes]
) -> None:
    with terminal(["-c", ASK], tells["vt340"], **environment) as screen:
        screen.wait_for("FOUND ")
        screen.wait_for("\n")
        assert f"FOUND {expected} " in screen.written.decode()


def test_without_a_terminal_nothing_is_asked() -> None:
    environment = {**os.environ, "TERM": "xterm-256color"}
    output = subprocess.run(
        [sys.executable, "-c", ASK], input="typed\n", capture_output=True, text=True, env=environment
    )
    assert output.stdout.startswith("FOUND half") and "\x1b" not in output.stdout
    assert output.stdout.endswith("LINE 'typed\\n'\n")


def test_what_was_asked_for_goes_before_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("COLORTERM", raising=False)
    assert capabilities("sixel").pictures == "sixel"
    assert capabilities("kitty").colours == "truecolor"
    assert parse_images("off") == "off"
    with pytest.raises(UsageError) as error:
        parse_images("kity")
    assert "'kitty'" in error.value.hint
