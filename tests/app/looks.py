"""What a window looks like, line by line, and how it is kept to be compared with."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

SNAPSHOTS = Path(__file__).parent / "snapshots"


WRITING = os.environ.get("DBTUI_SNAPSHOTS") == "write"


def cleaned(text: str) -> str:
    """What is the same each time."""
    text = re.sub(r"\d+\.\d KB", lambda size: "#" * len(size[0]), text)  # a config file's, which grows with its table
    return re.sub("[\u2580-\u259f]", " ", text) + "\n"  # pictures have tests of their own


async def looks(ui: Any, name: str, text: Callable[[], str]) -> None:
    """Wait until the window is as it is kept; DBTUI_SNAPSHOTS=write keeps this one instead, once it rests."""
    file = SNAPSHOTS / f"{name}.txt"
    if WRITING:
        await ui.pilot.pause(2)
        file.parent.mkdir(exist_ok=True)
        file.write_text(cleaned(text()), encoding="utf-8")
    kept = file.read_text(encoding="utf-8")
    with contextlib.suppress(AssertionError):
        await ui.until(lambda: cleaned(text()) == kept)
    seen = cleaned(text())
    lines = difflib.unified_diff(kept.splitlines(), seen.splitlines(), "kept", "seen", lineterm="", n=1)
    assert seen == kept, "\n".join(lines)
