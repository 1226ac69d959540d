"""Windows of every size, terminals of sixteen colours, and what the screens look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.cells import cell_len
from rich.color import Color, ColorSystem

from dbtui.app.draft import Draft
from dbtui.app.messages import DrawingEnded, Foreseen, OpenCompare, OpenPrompt, PictureDrawn
from dbtui.app.studio import Studio
from dbtui.app.theme import themes
from dbtui.app.widgets.gpu_panel import GpuPanel
from dbtui.app.widgets.picture_grid import PictureTable
from dbtui.core import paths
from dbtui.core.budget import Budget
from dbtui.core.config import Config
from dbtui.core.events import Ended, Log, Started
from dbtui.core.grid import Recipe, make_grid, save_png
from dbtui.core.library import find_concept
from dbtui.core.subjects import SUBJECTS
from dbtui.jobs.forecast import Forecast
from dbtui.jobs.gpus import Gpu
from dbtui.jobs.room import Room
from tests.app.looks import looks

NOON = 1_750_000_000.0


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_the_library_looks_as_it_is_kept(
    size: tuple[int, int], drive: Callable[..., None], library: Any, utc: None
) -> None:
    async def script(ui: Any) -> None:
        await ui.sees("mug", "cup", "rex", " KB")
        await looks(ui, f"library-{size[0]}x{size[1]}", lambda: ui.text)

    drive(script, size)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_the_dashboard_looks_as_it_is_kept(
    size: tuple[int, int], drive: Callable[..., None], library: Any, utc: None
) -> None:
    async def script(ui: Any) -> None:
        await ui.open(library)
        await ui.sees("step 125", "125/500 steps")
        await show_gpus(ui, 1)
        await ui.sees("71/139 GB")
        await looks(ui, f"dashboard-{size[0]}x{size[1]}", lambda: ui.text)

    drive(script, size)


async def show_gpus(ui: Any, count: int) -> None:
    """These GPUs, and not those of the machine that tests run on."""
    panel = ui.app.screen.query_one(GpuPanel)
    await ui.until(lambda: str(panel.content))
    ui.app.screen.workers.cancel_group(ui.app.screen, "gpus")
    panel.show([gpu(index, "NVIDIA H200") for index in range(count)], "")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_the_photos_look_as_they_are_kept(
    size: tuple[int, int], drive: Callable[..., None], photos: Path, library: Any
) -> None:
    for number, colour in enumerate(("red", "green", "blue", "orange"), 1):
        Image.new("RGB", (90 * number, 160), colour).save(photos / f"{number}.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    (photos / "inner").mkdir()

    async def script(ui: Any) -> None:
        await ui.sees("rex")
        ui.app.draft.use_folder(photos)
        ui.app.draft.toggle("2.png")
        await ui.press("n")
        await ui.sees("3 photos to learn from, 1 left out", "broken.jpg is not used", "inner")
        await ui.until(lambda: "picture" in ui.text.replace("broken.jpg is not used: not a picture", ""))
        await ui.press("tab")

        def without_path() -> str:
            lines = ui.text.splitlines()
            return "\n".join([lines[0], *lines[2:]])

        await looks(ui, f"photos-{size[0]}x{size[1]}", without_path)

    drive(script, size)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_the_parameters_look_as_they_are_kept(size: tuple[int, int], drive: Callable[..., None], library: Any) -> None:
    config = Config().replace({"model.base": "mini", "data.resolution": 128})
    gb = 1024**3
    budget = Budget({}, {"training": 2 * gb}, 0, {"concept": gb}, 0, {"training": 90.0})
    forecast = Forecast(config, budget, Room("cpu", "CPU", 8 * gb, 7 * gb), 100 * gb)

    async def script(ui: Any) -> None:
        await ui.sees("rex")
        ui.app.draft = Draft(SUBJECTS["robot"].folder, preset="mini")
        ui.app.draft.apply({"concept.prompt": "a photo of sks robot", "training.steps": 400})
        await ui.press("n")
        await ui.sees("5 photos, all usable")
        await ui.press("c")
        await ui.sees("Needs about")
        ui.app.screen.post_message(Foreseen(ui.app.screen._number, forecast))
        await ui.sees("2.0 GB of 7.0 GB")
        await looks(ui, f"parameters-{size[0]}x{size[1]}", lambda: ui.text)

    drive(script, size)


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_a_prompt_looks_as_it_is_kept(size: tuple[int, int], drive: Callable[..., None], library: Any) -> None:
    """With grids that were drawn before."""
    for stamp, seed, prompt in (("20250615-150000", 1, "a photo of sks mug"), ("20250615-151000", 7, "a sks mug, red")):
        folder = paths.make_private(paths.pictures_dir() / "mug" / stamp)
        recipe = Recipe(
            prompt=prompt, negative="cups", steps=25, guidance=7.5, scheduler="euler-a", seed=seed, width=64, height=64,
            model="mug",
        )  # fmt: skip
        pictures = [Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue", "orange")]
        for number, picture in enumerate(pictures):
            save_png(picture, folder / f"{number:03}.png", replace(recipe, seed=seed + number).parameters())
        save_png(make_grid(pictures, 2), folder / "grid.png")

    async def script(ui: Any) -> None:
        await ui.sees("rex", "mug")
        ui.app.screen.post_message(OpenPrompt(find_concept("mug")))
        await ui.sees("a sks mug, red", "[ 2 of 2 ]")
        await ui.press("escape", "right")
        await ui.sees("seed 8 \u00b7")
        await looks(ui, f"prompt-{size[0]}x{size[1]}", lambda: ui.text)

    drive(script, size)


class Plain(Studio):
    """Its pictures are all of one colour, and need no model."""

    def draw(self, screen: Any, job: Any) -> None:
        file = Path(job.request.out) / "000.png"
        Image.new("RGB", (64, 64), "orange").save(file)
        screen.post_message(PictureDrawn(job, 0, file, job.request.seeds[0]))
        screen.post_message(DrawingEnded(job, True, None))


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
def test_a_comparison_looks_as_it_is_kept(size: tuple[int, int], drive: Callable[..., None], library: Any) -> None:
    async def script(ui: Any) -> None:
        ui.app.studio = Plain()
        ui.app.drawing_settings = {"seed": "5", "lock": "locked"}
        await ui.sees("rex", "mug")
        ui.app.screen.post_message(OpenCompare(find_concept("mug")))
        await ui.sees("only before and after")
        await looks(ui, f"compare-empty-{size[0]}x{size[1]}", lambda: ui.text)
        await ui.press("tab", *"a sks mug", "enter")
        table = ui.app.screen.query_one(PictureTable)
        await ui.until(lambda: ui.app.screen.job is None and len(table.cells) == 4 and all(c.path for c in table.cells))
        await ui.press("escape")
        await ui.sees("seed 5 \u00b7", "taught, 200 steps")
        await looks(ui, f"compare-{size[0]}x{size[1]}", lambda: ui.text)

    drive(script, size)


def gpu(index: int, name: str) -> Gpu:
    gb = 1024**3
    return Gpu(
        index=index, name=name, uuid=f"GPU-{index}", driver="570", total=139 * gb, used=71 * gb, free=68 * gb,
        utilisation=98, temperature=64, power=512.0,
    )  # fmt: skip


def test_eight_gpus_take_a_line_each(drive: Callable[..., None], library: Any) -> None:
    async def script(ui: Any) -> None:
        await ui.open(library)
        await show_gpus(ui, 8)
        await ui.until(lambda: ui.text.count("71/139 GB") == 8)

    drive(script, (120, 36))


@pytest.mark.parametrize("size", [(79, 24), (80, 23), (20, 5), (1, 1)])
def test_a_window_that_is_too_small_says_so_and_comes_back(
    size: tuple[int, int], drive: Callable[..., None], library: Any
) -> None:
    async def script(ui: Any) -> None:
        for words in (["mug", "teapot", "rex"], ["loss", "It can be resumed", "log"]):
            await ui.sees(*words)
            await ui.pilot.resize_terminal(*size)
            await ui.until(lambda words=words: words[0] not in ui.text)
            if size[0] > 70:
                assert "80 columns and 24 rows" in ui.text
            await ui.pilot.resize_terminal(80, 24)
            await ui.sees(*words)
            assert "80 columns and 24 rows" not in ui.text
            if words[0] == "mug":
                await ui.open(library)

    drive(script)


def test_a_storm_of_resizes_ends_well(drive: Callable[..., None], library: Any) -> None:
    async def script(ui: Any) -> None:
        await ui.open(library)
        await show_gpus(ui, 1)
        await ui.sees("It can be resumed", "71/139 GB")
        for number in range(40):
            await ui.pilot.resize_terminal(60 + number * 37 % 150, 10 + number * 23 % 60)
        await ui.pilot.resize_terminal(80, 24)
        await ui.sees("It can be resumed", "71/139 GB", "125/500 steps", "smoothed", "Leave")
        assert all(len(line) <= 80 for line in ui.text.splitlines())

    drive(script)


DARK_ENOUGH = {0, 1, 4, 5, 8}
"""Black, red, blue, magenta and grey among the sixteen colours: what can be read on white."""


@pytest.mark.parametrize("theme", themes("16"), ids=lambda theme: theme.name)
def test_sixteen_colours_are_enough(theme: Any) -> None:
    """What must be told apart from its ground, or from each other, still is."""
    variables = {**theme.to_color_system().generate(), **theme.variables}

    def nearest(name: str) -> int | None:
        return Color.parse(variables[name]).downgrade(ColorSystem.STANDARD).number

    ground = nearest("background")
    for name in (
        "foreground",
        "text-muted",
        "primary",
        "accent",
        "success",
        "error",
        "warning",
        "border-blurred",
        "plot-raw",
    ):
        assert nearest(name) in (DARK_ENOUGH if not theme.dark else set(range(1, 16))), name
    assert nearest("plot-line") != nearest("plot-raw")
    assert nearest("block-cursor-background") != nearest("block-cursor-foreground")
    assert nearest("block-cursor-background") != ground


WIDE = "\u6f22\u5b57\u306e\u72ac \U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301 \u0645\u06cc\u200c\u062e\u0648 \u05e9\u05dc\u05d5\u05dd "
"""Wide letters, an emoji of three, a letter with a mark on it, and two scripts that go from right to left."""


def test_letters_of_all_widths_stay_in_their_places(drive: Callable[..., None], run_with: Any, concept: Any) -> None:
    concept("mug", created=NOON - 90_000, prompt=WIDE * 9, base=f"models/{WIDE * 3}")
    run_with([Started(pid=1, steps=9), Log(message=WIDE * 9), Ended(reason="failed", step=0, message=WIDE * 9)])

    def borders(text: str) -> set[int]:
        """Where the last border of each line is among the cells."""
        return {cell_len(line) for line in text.splitlines() if line.endswith(("\u2502", "\u256e", "\u256f"))}

    async def script(ui: Any) -> None:
        await ui.sees("mug", "rex", WIDE.split()[0])
        assert borders(ui.text) == {80}
        await ui.press("enter")
        await ui.sees("Failed", WIDE.split()[0], "loss")
        assert borders(ui.text) == {80}
        await ui.press("q")
        await ui.sees("mug")
        await ui.press("down", "enter")
        await ui.sees("guidance  7.5", WIDE.split()[0])
        assert borders(ui.text) == {80}

    drive(script)
