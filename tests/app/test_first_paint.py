"""What the app loads and reads before the library is first seen: only what is visible."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dbtui.app.entries import Entry
from dbtui.core.library import Concept

HEAVY = [
    "PIL", "numpy", "torch", "diffusers", "transformers", "statistics", "http.client", "urllib.request", "pydoc", "pygments",
    "textual_imageview", "dbtui.jobs.begin", "dbtui.jobs.generate", "dbtui.core.hub", "dbtui.app.rendering",
    "dbtui.app.screens.dashboard", "dbtui.app.screens.export", "dbtui.app.screens.prompt",
]  # fmt: skip
"""Nothing of this is seen in the library's first frame."""

BEGIN = """
import asyncio, sys
from dbtui import cli
from dbtui.commands.app import run_app
from dbtui.app.app import DbtuiApp
from dbtui.app.settings import read_settings
async def see():
    async with DbtuiApp(*read_settings()).run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        print([m for m in sys.argv[1:] if m in sys.modules])
asyncio.run(see())
"""


def test_nothing_heavy_is_loaded_before_the_first_frame() -> None:
    output = subprocess.run([sys.executable, "-c", BEGIN, *HEAVY], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"


def test_of_many_pictures_only_the_one_in_view_is_looked_for_and_read(
    concept: Callable[..., Concept], drive: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbtui.app import rendering

    for number in range(12):
        concept(f"mug-{number:02}", created=1.75e9 + number)
    sought: set[str] = set()
    opened: list[Path] = []
    preview, open_picture = Entry.preview.fget, rendering.open_picture
    assert preview is not None
    monkeypatch.setattr(Entry, "preview", property(lambda entry: sought.add(entry.name) or preview(entry)))
    monkeypatch.setattr(rendering, "open_picture", lambda path, side: opened.append(path) or open_picture(path, side))

    async def script(driver) -> None:  # type: ignore[no-untyped-def]
        await driver.sees("mug-00", "mug-11", "1.9 MB")
        await driver.until(lambda: opened)
        assert sought == {"mug-11"}
        assert {path.parent.parent.name for path in opened} == {"mug-11"}
        await driver.press("down")
        await driver.until(lambda: len({path.parent.parent.name for path in opened}) == 2)
        assert sought == {"mug-11", "mug-10"}

    drive(script, (120, 36))
