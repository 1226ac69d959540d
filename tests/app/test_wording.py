"""Hints of the command line, and what is being done, as the app says them."""

from __future__ import annotations

import pytest

from dbtui.app.widgets.run_words import work
from dbtui.app.wording import COMMANDS, FLAGS, in_app
from dbtui.core.config import FIELDS
from dbtui.core.events import Phase


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


@pytest.mark.parametrize(
    ("width", "told"),
    [
        (90, ["1.0 GB of 4.0 GB", "256 MB/s", "0:12 left"]),
        (66, ["1.0 GB of 4.0 GB", "0:12 left"]),
        (50, ["1.0 GB of 4.0 GB"]),
        (20, ["1.0 GB of 4.0 GB"]),
    ],
)
def test_what_is_being_done_is_one_line_and_says_what_there_is_room_for(width: int, told: list[str]) -> None:
    gb = 2**30
    phase = Phase(time=0.0, name="downloading", done=gb, total=4 * gb, unit="bytes")
    line = work(phase, gb / 4, width).plain
    assert [words for words in ("1.0 GB of 4.0 GB", "256 MB/s", "0:12 left") if words in line] == told
    assert "\u2501" * 2 in line and " 25% " in line
    assert len(line) == width or (width == 20 and len(line) < 50)
