"""Every screen and dialog falls silent: over SSH, what nobody looks at must cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dbtui.core.events import Ended, Log, Phase, Sample, Started
from dbtui.core.subjects import SUBJECTS

PHOTOS = "5 photos, all usable"

DOWN, ENTER, F1, F3, CTRL_P = "\x1b[B", "\r", "\x1bOP", "\x1bOR", "\x10"

WAYS = {
    "library": [],
    "filter": ["/"],
    "a question": ["d"],
    "dashboard": [(ENTER, "25/500 steps")],
    "what was said": [(ENTER, "25/500 steps"), ("l", "Training Stable")],
    "a chart that is read": [(ENTER, "25/500 steps"), ("\x1b[D", "step 25")],
    "help": [("?", "Show the keys")],
    "commands": [(CTRL_P, "Search for commands")],
    "prompt": [(DOWN, "taught in"), (ENTER, "guidance")],
    "a line of the prompt": [(DOWN, "taught in"), (ENTER, "guidance"), ("p", ""), ("a dog", "a dog")],
    "compare": [(DOWN, "taught in"), ("m", "Compare")],
    "columns": [(DOWN, "taught in"), ("m", "Compare"), ("o", "untaught")],
    "export": [(DOWN, "taught in"), ("e", "Export mug")],
    "rename": [(DOWN, "taught in"), ("r", "Rename mug")],
    "photos": [("n", PHOTOS)],
    "a photo": [("n", PHOTOS), ("\t", ""), (" ", "zoom")],
    "addresses": [("n", PHOTOS), ("u", "address")],
    "parameters": [("n", PHOTOS), ("c", "Base model: The hub")],
    "parameters as TOML": [("n", PHOTOS), ("c", "Base model: The hub"), (F3, "[concept]")],
}
"""The keys that lead from the library to each, and what is seen after each key."""


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_sent_once_a_screen_has_come_to_rest(
    way: str,
    concept: Any,
    run_with: Any,
    steps: Any,
    terminal: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    concept("mug", created=1.74e9)
    run_with(
        [
            Started(pid=1, steps=500),
            Log(message="Training Stable Diffusion (small) at 128 px."),
            Phase(name="training", total=500, unit="steps"),
            *steps(1, 25),
            Sample(step=25, path="samples/step-000025.png", prompts=["a photo of sks rex"], seeds=[1]),
            Ended(reason="stopped", step=25, message="Stopped (as asked)."),
        ]
    )
    monkeypatch.chdir(SUBJECTS["teddy-bear"].folder)
    with terminal(100, 30) as screen:
        screen.wait_for("mug")
        for keys, words in [step if isinstance(step, tuple) else (step, "") for step in WAYS[way]]:
            screen.wait_until_quiet()
            screen.type(keys)
            screen.wait_for(words)
        screen.wait_until_quiet()
        seen = screen.text
        assert screen.read(2.0) == b"", seen
        assert screen.process.poll() is None
