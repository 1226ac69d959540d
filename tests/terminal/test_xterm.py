"""A picture in a terminal that is no model of one: xterm, which draws Sixel, on a display that nobody sees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageGrab, features

from dbtui.core.library import Concept

PATIENCE = 60.0
COLUMNS, ROWS = 100, 30
CELL = (6, 13)
"""Pixels of a character in the font that every display has."""

CARD = (74, 4, 94, 10)
"""Left, top, right and bottom of cells that are within the picture, at the right of the library."""

needed = shutil.which("xterm") and shutil.which("Xvfb") and features.check("xcb")
pytestmark = pytest.mark.skipif(not needed, reason="needs xterm, Xvfb, and a Pillow that looks at a display")


@pytest.fixture
def display() -> Iterator[str]:
    """A display of its own."""
    ours, theirs = os.pipe()
    # Without -noreset the display begins anew when the first look at it ends.
    options = ["-screen", "0", "800x600x24", "-nolisten", "tcp", "-noreset", "-fp", "built-ins"]
    command = ["Xvfb", "-displayfd", str(theirs), *options]
    server = subprocess.Popen(command, pass_fds=[theirs], stderr=subprocess.DEVNULL)
    os.close(theirs)
    try:
        with open(ours) as number:
            yield f":{number.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def noise(home: Path) -> Image.Image:
    """The preview of the only concept of the library: no two of its pixels beside each other are alike."""
    concept = Concept(name="mug", prompt="a mug", base="mini", steps=200, created=1.75e9, trained={"unet": "0" * 64})
    for folder in ("unet", "preview"):
        (concept.path / folder).mkdir(parents=True)
    concept.weights("unet").write_bytes(b"0")
    pixels = np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(pixels).save(concept.path / "preview" / "step-000200.png")
    (concept.path / "concept.toml").write_text(concept.to_toml())
    return Image.fromarray(pixels)


def changes(window: Image.Image) -> float:
    """How often the colour changes from a pixel to the next within the picture, as a share of all that could."""
    picture = window.convert("RGB").crop([edge * side for edge, side in zip(CARD, CELL * 2, strict=True)])
    pixels = np.asarray(picture).astype(int)
    return float((np.abs(pixels[:, 1:] - pixels[:, :-1]).sum(2) > 30).mean())


def test_a_picture_is_drawn_pixel_by_pixel(display: str, noise: Image.Image) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("TMUX", "STY", "NO_COLOR")}
    command = ["xterm", "-ti", "vt340", "-tn", "xterm-256color", "-u8", "-fn", "fixed", "-geometry", f"{COLUMNS}x{ROWS}+0+0",
               "-e", sys.executable, "-m", "dbtui"]  # fmt: skip
    program = subprocess.Popen(command, env={**environment, "DISPLAY": display, "LC_ALL": "C.UTF-8"})
    try:
        deadline = time.monotonic() + PATIENCE
        # Blocks are three pixels wide: of three neighbours two are alike.
        while (changed := changes(ImageGrab.grab(xdisplay=display))) < 0.6:
            assert program.poll() is None and time.monotonic() < deadline, changed
            time.sleep(0.1)
    finally:
        program.kill()
        program.wait()
