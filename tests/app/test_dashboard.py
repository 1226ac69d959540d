"""The dashboard: what it shows of a run, and what it asks of the trainer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from textual.widgets import Input

from dbtui.app.dialogs import ConfirmDialog, TextDialog
from dbtui.app.messages import OpenRun
from dbtui.app.screens.dashboard import DashboardScreen
from dbtui.app.screens.photo import PhotoDialog
from dbtui.app.screens.prompt import PromptScreen
from dbtui.app.widgets.gpu_panel import GpuPanel
from dbtui.app.widgets.sample_panel import SamplePanel
from dbtui.app.zoom import ZoomView
from dbtui.core.events import Checkpoint, Ended, Log, Phase, Sample, Started
from dbtui.core.run import Run
from dbtui.jobs.replay import Replay
from tests.app.training import NOON, STARTED, UNDER_WAY, write

OUT_OF_MEMORY = Ended(
    time=NOON + 60,
    reason="failed",
    step=20,
    message="The GPU is out of memory: 14.2 GB were needed. The checkpoint of step 10 was kept.",
    hint="Use the preset low-vram, or a lower data.resolution.",
)


def sample(run: Run, number: int, prompt: str = "a photo of sks rex") -> Sample:
    path = f"samples/step-{number:06}.png"
    Image.new("RGB", (132, 64), "orange").save(run.path / path)
    return Sample(time=NOON + number, step=number, path=path, prompts=[prompt], seeds=[1, 2])


def test_a_live_run_shows_its_figures_and_goes_on(drive: Callable[..., None], live: Run, steps: Any) -> None:
    async def script(ui: Any) -> None:
        await ui.open(live)
        await ui.sees("rex", "live", "25%", "50/200 steps", "2.0 it/s", "1.00e-04", "ETA", "1:15")
        write(live, *steps(51, 60), Log(time=NOON, message="The disk is slow.", level="warning"))
        await ui.sees("60/200 steps", "The disk is slow.")
        write(live, Phase(name="sampling", done=3, total=12, unit="steps"))
        await ui.sees("sampling", "3/12 steps")

    drive(script)


def test_a_download_shows_bytes_and_their_speed(drive: Callable[..., None], run_with: Any) -> None:
    gb = 1024**3
    phases = [Phase(time=NOON + i, name="downloading", done=i * gb // 4, total=4 * gb, unit="bytes") for i in range(5)]
    run = run_with([STARTED, *phases])
    lock = run.claim()

    async def script(ui: Any) -> None:
        await ui.open(run)
        await ui.sees("downloading", "25%", "1.0 GB of 4.0 GB", "256 MB/s", "0:12 left")

    drive(script, (120, 36))
    lock.close()


def test_a_run_that_failed_says_why_and_what_to_do(drive: Callable[..., None], run_with: Any, steps: Any) -> None:
    run = run_with([STARTED, *steps(1, 20), OUT_OF_MEMORY])
    run.log.write_text("Traceback (most recent call last):\n  torch.OutOfMemoryError: \x1b[31mCUDA\n")

    async def script(ui: Any) -> None:
        await ui.open(run)
        await ui.sees("failed", "out of memory: 14.2 GB", "Use the preset low-vram", "Continue")
        await ui.press("l")
        await ui.sees("torch.OutOfMemoryError", "\\x1b[31mCUDA", "copy")
        assert isinstance(ui.app.screen, TextDialog)

    drive(script)


def test_a_trainer_that_vanished_is_lost(drive: Callable[..., None], run_with: Any, steps: Any) -> None:
    run = run_with([STARTED, UNDER_WAY, *steps(1, 20)])

    async def script(ui: Any) -> None:
        await ui.open(run)
        await ui.sees("Lost.", "left no word", "20/200 steps", "c begins anew, since there is no checkpoint")

    drive(script)


def test_a_run_that_ended_says_from_which_step_it_goes_on(
    drive: Callable[..., None], run_with: Any, steps: Any
) -> None:
    kept = [Checkpoint(step=n, path=f"checkpoints/{n}", size=9, seconds=0.1) for n in (8, 16)]
    run = run_with([STARTED, UNDER_WAY, *steps(1, 20), *kept, Started(pid=5, steps=200, resumed_from=8), *steps(9, 12)])

    async def script(ui: Any) -> None:
        await ui.open(run)
        await ui.sees("12/200 steps", "c goes on from the checkpoint of step 8")

    drive(script)


def test_what_was_taught_is_drawn_from_the_dashboard(
    drive: Callable[..., None], run_with: Any, steps: Any, concept: Any
) -> None:
    concept("rex")
    run = run_with([STARTED, UNDER_WAY, *steps(1, 200), Ended(time=NOON + 300, reason="done", step=200, concept="rex")])

    async def script(ui: Any) -> None:
        await ui.open(run)
        await ui.sees("Taught. enter draws with the concept 'rex'")
        await ui.press("enter")
        await ui.until(lambda: isinstance(ui.app.screen, PromptScreen))
        await ui.press("escape")
        assert isinstance(ui.app.screen, DashboardScreen)

    drive(script)


def test_a_replay_shows_a_training_again_and_asks_nothing_of_a_trainer(
    drive: Callable[..., None], run_with: Any, steps: Any
) -> None:
    end = Ended(time=NOON + 21, reason="stopped", step=20, message="Stopped (as asked).")
    run = run_with([STARTED, UNDER_WAY, *steps(1, 20), end])

    async def script(ui: Any) -> None:
        await ui.sees("rex", "replay, 5 times as fast", "training", "elapsed")
        await ui.until(lambda: "learning rate" in ui.text and "1.00e-04" in ui.text)
        keys = ui.text.splitlines()[-1]
        assert "Stop" not in keys and "Sample" not in keys
        await ui.sees("20/200 steps", "The replay is over. Stopped (as asked).", "0:21")
        await ui.press("c")
        assert run.state().name == "stopped" and "Continue" not in ui.text

    drive(script, first=OpenRun(run, Replay(run.journal, 5)))


def test_a_disk_that_is_full_is_told_while_the_trainer_cannot_say_anything(
    drive: Callable[..., None], small_disk: Any, run_with: Any, steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBTUI_HOME", str(small_disk.folder))
    run = run_with([STARTED, UNDER_WAY, *steps(1, 5)])
    lock = run.claim()

    async def script(ui: Any) -> None:
        await ui.open(run)
        assert "full" not in ui.text
        small_disk.fill()
        await ui.sees("The disk is full.", "The training goes on")
        small_disk.empty()
        write(run, *steps(6, 9))
        await ui.until(lambda: "9/200 steps" in ui.text and "The disk is full" not in ui.text)

    drive(script)
    lock.close()


def test_the_end_of_a_live_run_is_seen(drive: Callable[..., None], live: Run) -> None:
    async def script(ui: Any) -> None:
        await ui.open(live)
        await ui.sees("live")
        (live.path / "process.json").unlink()
        write(live, Ended(reason="done", step=50, concept="rex"))
        await ui.sees("Taught.", "draws with the concept 'rex'")
        assert "Stop" not in ui.text

    drive(script)


def test_the_next_sample_is_announced_until_there_is_one(drive: Callable[..., None], run_with: Any, steps: Any) -> None:
    """Also after one that failed."""
    run = run_with([Started(pid=1, steps=45), *steps(1, 12)], **{"sampling.every": 10})
    lock = run.claim()

    async def script(ui: Any) -> None:
        await ui.open(run)
        await ui.sees("sample comes at", "step 20")
        write(run, *steps(13, 41))
        await ui.sees("step 45")
        write(run, Ended(reason="stopped", step=41))
        run.release(lock)
        await ui.sees("No samples.")

    drive(script)


def test_samples_are_gone_through_and_the_newest_is_followed(drive: Callable[..., None], live: Run) -> None:
    write(live, sample(live, 10), sample(live, 20), sample(live, 30))

    async def script(ui: Any) -> None:
        await ui.open(live)
        panel = ui.app.screen.query_one(SamplePanel)
        await ui.sees("step 30", "3 of 3")
        await ui.press("left_square_bracket", "left_square_bracket")
        await ui.sees("step 10", "1 of 3")
        write(live, sample(live, 40))
        await ui.sees("1 of 4")
        await ui.press(*["right_square_bracket"] * 3)
        assert panel.chosen is None
        write(live, sample(live, 50))
        await ui.sees("step 50", "5 of 5")

    drive(script)


def test_the_sample_that_is_shown_is_looked_at_closely(drive: Callable[..., None], live: Run) -> None:
    async def script(ui: Any) -> None:
        await ui.open(live)
        dashboard = ui.app.screen
        assert not dashboard.check_action("zoom_sample", ()), "there is none yet"
        write(live, sample(live, 10, "a photo of sks rex in snow"), sample(live, 20))
        await ui.sees("step 20", "2 of 2")
        await ui.press("left_square_bracket", "z")
        await ui.until(lambda: isinstance(ui.app.screen, PhotoDialog) and ui.app.screen.query(ZoomView))
        await ui.sees("step 10 \u00b7 a photo of sks rex in snow")
        await ui.press("right_square_bracket")
        await ui.sees("step 20 \u00b7")
        await ui.press("escape")
        assert ui.app.screen is dashboard
        await ui.sees("2 of 2")

    drive(script)


def test_a_small_window_gives_the_sample_the_place_of_gpus_that_are_not_there(
    drive: Callable[..., None], live: Run
) -> None:
    async def script(ui: Any) -> None:
        await ui.open(live)
        panel = ui.app.screen.query_one(GpuPanel)
        panel.show([], "There is no GPU.")
        await ui.until(lambda: not panel.display)
        await ui.pilot.resize_terminal(120, 36)
        await ui.until(lambda: panel.display)

    drive(script, size=(80, 24))


def test_what_is_asked_for_becomes_a_request(drive: Callable[..., None], live: Run) -> None:
    control = live.path / "control"

    async def script(ui: Any) -> None:
        await ui.open(live)
        await ui.press("w")
        await ui.until(lambda: (control / "save.json").exists())
        await ui.press("p")
        assert ui.app.screen.query_one(Input).value == live.config.concept.prompt, "which one goes on from"
        await ui.press(*" in snow", "enter")
        await ui.until(lambda: list(control.glob("sample-*.json")))
        await ui.press("s")
        assert isinstance(ui.app.screen, ConfirmDialog)
        await ui.press("enter")
        assert not (control / "stop.json").exists(), "the answer is No unless it is chosen"
        await ui.press("s", "y")
        await ui.until(lambda: (control / "stop.json").exists())
        await ui.sees("stopping")

    drive(script)
    requests = [json.loads(file.read_text()) for file in control.glob("sample-*.json")]
    assert requests == [{"request": "sample", "prompt": f"{live.config.concept.prompt} in snow"}]


def test_leaving_says_that_the_training_goes_on(drive: Callable[..., None], live: Run) -> None:
    async def script(ui: Any) -> None:
        await ui.open(live)
        await ui.press("q")
        await ui.sees("training of rex goes on")
        assert not list((live.path / "control").iterdir())

    drive(script)


def test_pause_keeps_the_window_as_it_is(drive: Callable[..., None], live: Run, steps: Any) -> None:
    async def script(ui: Any) -> None:
        await ui.open(live)
        await ui.sees("50/200 steps")
        await ui.press("space")
        await ui.sees("drawing is paused")
        before = ui.text
        write(live, *steps(51, 70))
        await ui.until(lambda: ui.app.screen.snapshot.step == 70)
        assert ui.text == before
        await ui.press("space")
        await ui.sees("70/200 steps")

    drive(script)


def test_steps_that_a_resume_took_back_are_gone(drive: Callable[..., None], run_with: Any, steps: Any) -> None:
    run = run_with([STARTED, *steps(1, 50), Started(time=NOON + 90, pid=2, steps=200, resumed_from=30), *steps(31, 33)])

    async def script(ui: Any) -> None:
        await ui.open(run)
        assert list(ui.app.screen.snapshot.curves.step) == list(range(1, 34))
        await ui.sees("33/200 steps", "going on from step 30")

    drive(script)


def test_a_journal_with_a_partial_last_line_has_been_read(drive: Callable[..., None], live: Run) -> None:
    with open(live.journal, "ab") as file:
        file.write(b'{"kind": "step", "st')

    async def script(ui: Any) -> None:
        await ui.open(live)
        await ui.sees("50/200 steps")
        assert "reading the journal" not in ui.text

    drive(script)


def test_a_run_whose_config_is_damaged_can_be_looked_at(drive: Callable[..., None], run_with: Any, steps: Any) -> None:
    run = Run(run_with([STARTED, *steps(1, 20), OUT_OF_MEMORY]).path)
    (run.path / "config.toml").write_text("[training\n")

    async def script(ui: Any) -> None:
        await ui.open(run)
        await ui.sees("out of memory", "20/200 steps")

    drive(script)
