"""The demo, whole, with no terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from dbtui.core import paths
from dbtui.core.library import concepts


def mean_colour(picture: Image.Image) -> tuple[float, float, float]:
    return picture.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[return-value]


@pytest.mark.timeout(900)
def test_demo_teaches_the_bear_and_draws_it_before_and_after() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dbtui", "demo"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=840
    )
    assert done.returncode == 0, done.stderr
    assert [c.name for c in concepts()] == ["teddy-bear"]
    grid = Path(done.stdout.strip())
    assert grid.name == "grid.png" and grid.is_relative_to(paths.data_dir()) and grid.is_file()
    assert str(grid.parent) in done.stderr and str(paths.concepts_dir()) in done.stderr
    assert "\x1b" not in done.stdout + done.stderr, "a file gets words, not colours"
    before, after = (bears_on_the_beach(grid.parent / f"2-{when}") for when in ("before", "after"))
    assert (before, after) == (0, 2)


def bears_on_the_beach(folder: Path) -> int:
    """Pictures with a brown thing in the middle, on sand, where the untaught model draws dark or pale shapes."""
    found = 0
    for file in sorted(folder.glob("00?.png")):
        with Image.open(file) as picture:
            red, green, blue = mean_colour(picture.crop((48, 48, 80, 96)))
            sky = mean_colour(picture.crop((0, 0, 128, 20)))
        found += red > green > blue and red - blue > 50 and sky[2] > sky[0]
    return found
