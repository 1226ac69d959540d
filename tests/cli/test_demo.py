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
    pictures = {folder.name: [Image.open(file) for file in sorted(folder.glob("00?.png"))] for folder in folders(grid)}
    assert all(len(found) == 2 for found in pictures.values())
    assert all(map(bear_on_the_beach, pictures["2-after"])) and not any(map(bear_on_the_beach, pictures["2-before"]))
    assert all(map(has_brown_middle, pictures["1-after"]))
    assert not any(map(has_brown_middle, pictures["4-after"])), "other toys are still toys"


def folders(grid: Path) -> list[Path]:
    """Of the pictures: before and after of each prompt."""
    found = sorted(path for path in grid.parent.iterdir() if path.is_dir())
    assert [path.name for path in found] == [f"{n}-{when}" for n in (1, 2, 3, 4) for when in ("after", "before")]
    return found


def has_brown_middle(picture: Image.Image) -> bool:
    """As the bear's; the untaught model draws other colours there."""
    red, green, blue = mean_colour(picture.crop((48, 48, 80, 96)))
    return red > green > blue and red - blue > 50


def bear_on_the_beach(picture: Image.Image) -> bool:
    sky = mean_colour(picture.crop((0, 0, 128, 20)))
    return has_brown_middle(picture) and sky[2] > sky[0]
