"""Pictures of every screen, as SVG and PNG, from the app itself on a real training of the embedded model.

    python screenshots/make.py [FOLDER]

The training takes a few minutes on two cores and happens in a folder of its own. The PNGs are made by Chromium;
where there is none, only the SVGs are.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
from PIL import Image
from textual.pilot import Pilot

from dbtui.app.app import DbtuiApp
from dbtui.app.messages import OpenCompare, OpenPrompt, OpenRun
from dbtui.app.screens.drawing import DrawingScreen
from dbtui.app.widgets.picture_grid import PictureGrid
from dbtui.app.widgets.prompt_line import PromptLine
from dbtui.core.library import find_concept
from dbtui.core.presets import assemble
from dbtui.core.run import Run, runs
from dbtui.core.subjects import SUBJECTS
from dbtui.core.tty import Capabilities
from dbtui.jobs.begin import begin, check
from dbtui.jobs.follow import wait_until_over
from dbtui.jobs.launch import launch

SIZE = (120, 36)
PATIENCE = 120.0
SCALE = 1.0
COLOURS = 256
"""Of a PNG's palette."""

Scene = Callable[["Stage"], Awaitable[None]]


class Stage:
    """The app under a pilot, and the folder that its pictures go to."""

    def __init__(self, app: DbtuiApp, pilot: Pilot[None], folder: Path) -> None:
        self.app, self.pilot, self._folder = app, pilot, folder

    @property
    def text(self) -> str:
        return "\n".join(strip.text.rstrip() for strip in self.app.screen._compositor.render_strips())

    async def sees(self, *words: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not all(word in self.text for word in words):
            if time.monotonic() > deadline:
                raise SystemExit(f"{words} did not come; the screen is\n{self.text}")
            await self.pilot.pause(0.1)

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause(0.1)

    async def until_drawn(self) -> None:
        """Until all pictures that were asked for are there."""
        deadline = time.monotonic() + 5 * PATIENCE
        screen = self.app.screen
        assert isinstance(screen, DrawingScreen)
        while screen.job is not None or not screen.query_one(PictureGrid).cells[-1].path:
            if time.monotonic() > deadline or not isinstance(self.app.screen, DrawingScreen):
                raise SystemExit(f"The pictures did not come; the screen is\n{self.text}")
            await self.pilot.pause(0.2)

    async def take(self, name: str) -> None:
        """Keep a picture of what is shown, once the pictures in it have been drawn."""
        await self.pilot.pause(1.0)
        self.app.save_screenshot(f"{name}.svg", str(self._folder))
        print(f"{name}.svg", file=sys.stderr)


async def welcome(stage: Stage) -> None:
    await stage.sees("Try the demo")
    await stage.take("welcome")


async def photos(stage: Stage) -> None:
    await stage.press("n")
    await stage.sees("Folder")
    await stage.press("slash")
    line = stage.app.screen.query_one("#path")
    line.value = str(Path.home() / "photos" / "teddy-bear")  # type: ignore[attr-defined]
    await stage.press("enter")
    await stage.sees("5 photos, all usable")
    await stage.take("photos")


async def photo(stage: Stage) -> None:
    await photos(stage)
    await stage.press("right", "right", "right", "right", "space")
    await stage.sees("5.jpg", "+ -: zoom")
    await stage.press("plus", "plus")
    await stage.take("photo")


async def parameters(stage: Stage) -> None:
    await photos(stage)
    await stage.press("c")
    await stage.sees("Subject")
    await stage.press("up", "up", "right", "right", "right", "down", "down")
    await stage.press("end", *" toy")
    await stage.sees("Needs about")
    await stage.take("parameters")


def dashboard(run: Run, name: str) -> Scene:
    async def scene(stage: Stage) -> None:
        stage.app.post_message(OpenRun(run))
        await stage.sees("learning rate", "step ", "gradient norm")
        await stage.take(name)

    return scene


async def library(stage: Stage) -> None:
    await stage.sees("teddy-bear", "\u2713 done", "MB")
    await stage.take("library")


async def export(stage: Stage) -> None:
    await library(stage)
    await stage.press("e")
    await stage.sees("free there")
    await stage.take("export")


async def prompt(stage: Stage) -> None:
    stage.app.post_message(OpenPrompt(find_concept("teddy-bear")))
    await stage.sees("Write a prompt")
    stage.app.screen.query_one("#prompt", PromptLine).show("a photo of sks toy on the grass")
    await stage.press("enter")
    await stage.until_drawn()
    await stage.press("escape", "right")
    await stage.take("prompt")


async def compare(stage: Stage) -> None:
    stage.app.post_message(OpenCompare(find_concept("teddy-bear")))
    await stage.sees("Enter draws each of them")
    stage.app.screen.query_one("#prompt-1", PromptLine).show("sks toy in the snow")
    await stage.press("enter")
    await stage.until_drawn()
    await stage.press("escape", "right")
    await stage.take("compare")


async def settings(stage: Stage) -> None:
    await stage.sees("teddy-bear")
    await stage.press("f9")
    await stage.sees("This terminal")
    await stage.take("settings")


def help(run: Run) -> Scene:
    async def scene(stage: Stage) -> None:
        stage.app.post_message(OpenRun(run))
        await stage.sees("learning rate", "step ")
        await stage.press("f1")
        await stage.sees("Zoom into the chart")
        await stage.take("help")

    return scene


def play(scene: Scene, folder: Path) -> None:
    async def session() -> None:
        app = DbtuiApp(terminal=Capabilities(pictures="half", found="half"))
        async with app.run_test(size=SIZE, notifications=True) as pilot:
            await scene(Stage(app, pilot, folder))

    asyncio.run(session())


def teach() -> Run:
    """The demo's training, begun."""
    bear = SUBJECTS["teddy-bear"]
    changes = {
        "data.folder": str(bear.folder),
        "concept.prompt": bear.prompt,
        "sampling.every": 50,
        "training.checkpoint_every": 50,
    }
    run = begin(check(assemble("mini", None, changes)))
    launch(run)
    return run


def wait_for_sample(run: Run, step: int) -> None:
    deadline = time.monotonic() + 10 * PATIENCE
    while run.state().step < step or not list(run.samples.glob("*.png")):
        if time.monotonic() > deadline or run.state().over:
            raise SystemExit(f"The training is {run.state()}")
        time.sleep(0.5)


def rasterise(folder: Path) -> None:
    """A PNG beside every SVG, by headless Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next((path for name in names if (path := shutil.which(name))), None)
    if browser is None:
        print("There is no Chromium; only the SVGs were made.", file=sys.stderr)
        return
    for svg in sorted(folder.glob("*.svg")):
        png = svg.with_suffix(".png")
        width, height = (float(part) for part in svg.read_text().split('viewBox="0 0 ', 1)[1].split('"', 1)[0].split())
        with tempfile.TemporaryDirectory() as profile:
            page = Path(profile) / "page.html"
            page.write_text(f'<body style="margin:0"><img src="{svg.absolute().as_uri()}" width="{width:.0f}">')
            subprocess.run(
                [
                    browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                    f"--user-data-dir={profile}", f"--force-device-scale-factor={SCALE}",
                    f"--window-size={width:.0f},{height:.0f}", f"--screenshot={png}", page.as_uri(),
                ],
                check=True, capture_output=True, timeout=120,
            )  # fmt: skip
        with Image.open(png) as image:
            small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(png, optimize=True)
        print(f"{png.name}: {png.stat().st_size / 1024:.0f} KB", file=sys.stderr)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dbtui-") as home:
        os.environ.update(HOME=home, DBTUI_HOME=f"{home}/dbtui", HF_HUB_OFFLINE="1")
        shutil.copytree(SUBJECTS["teddy-bear"].folder, Path.home() / "photos" / "teddy-bear")
        try:
            for scene in (welcome, photo, parameters):
                play(scene, folder)
            run = teach()
            wait_for_sample(run, 110)
            play(dashboard(run, "dashboard"), folder)
            wait_until_over(run, 10 * PATIENCE)
            for scene in (dashboard(run, "taught"), help(run), settings, export, prompt, compare):
                play(scene, folder)
        finally:
            for left in runs():
                if (trainer := left.trainer()) is not None:
                    psutil.Process(trainer[0]).kill()
    rasterise(folder)


if __name__ == "__main__":
    main()
