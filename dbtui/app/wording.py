"""Hints that speak of the command line, said in the words of the app."""

from __future__ import annotations

import re

from dbtui.core.config import FIELDS

COMMANDS = (
    (r"with `dbtui follow[^`]*`", "in the library"),
    (r"`dbtui (?:follow|ls)[^`]*`", "the library"),
    (r"`dbtui resume (?![^`]*--)[^`]*`", "Continue (c)"),
    (r"`dbtui stop[^`]*`", "Stop (s in the library)"),
    (r"`dbtui rm[^`]*`", "Delete (d in the library)"),
    (r"`dbtui rename[^`]*`", "Rename (r in the library)"),
    (r"`dbtui demo`", "the demo (t in the library)"),
    (r"--preset (\S*\w)", r"the preset \1"),
    (r"--half\b", "16 bit"),
    (r"--format\b", "the format"),
)
"""Patterns, and what the app has for them. A command that the app has no key for stays a command."""

FLAGS = {
    "name": "concept.name",
    "prompt": "concept.prompt",
    "class-prompt": "prior.class_prompt",
    "model": "model.base",
}
"""Options that are fields of the form."""

SETTING = re.compile(r"(?:--set )?\b([a-z]+\.[a-z_0-9]+)=([^\s,;]*\w)")
FLAG = re.compile(rf"--({'|'.join(sorted(FLAGS, key=len, reverse=True))})\b")
QUOTED = re.compile(r"(`[^`]*`)")


def in_app(text: str) -> str:
    """``text`` with keys and fields of the app in place of commands and their options."""
    for pattern, words in COMMANDS:
        text = re.sub(pattern, words, text)
    parts = QUOTED.split(text)
    return "".join(part if part.startswith("`") else _fields(part) for part in parts)


def _fields(text: str) -> str:
    text = SETTING.sub(lambda m: f"{FIELDS[m[1]].label} {m[2]}" if m[1] in FIELDS else m[0], text)
    return FLAG.sub(lambda m: FIELDS[FLAGS[m[1]]].label, text)
