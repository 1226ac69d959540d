"""Hints of the command line, as the app says them."""

from __future__ import annotations

import pytest

from dbtui.app.wording import COMMANDS, FLAGS, in_app
from dbtui.core.config import FIELDS


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("Watch it with `dbtui follow rex`.", "Watch it in the library."),
        ("Remove it with `dbtui rm bear`, and teach it again.", "Remove it with Delete (d in the library), and teach it again."),
        ("`dbtui resume rex` goes on.", "Continue (c) goes on."),
        ("`dbtui resume rex --processes 1` does with one.", "`dbtui resume rex --processes 1` does with one."),
        ("--model mini needs least.", "Base model mini needs least."),
        ("Say --class-prompt 'a photo of a dog', or --set prior.enabled=false.", "Say Class prompt 'a photo of a dog', or Prior preservation false."),
        ("Then `dbtui login`.", "Then `dbtui login`."),
        ("See `dbtui train --model mini`.", "See `dbtui train --model mini`."),
        ("--set nothing.such=1", "--set nothing.such=1"),
    ],
)  # fmt: skip
def test_a_hint_names_keys_and_fields(told: str, said: str) -> None:
    assert in_app(told) == said


def test_every_option_is_a_field_and_every_command_is_found() -> None:
    assert set(FLAGS.values()) <= set(FIELDS) and COMMANDS
