"""The main job from the command line, for real: teach, follow, list, draw, rename, remove."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from dbtui.core.run import Run, find_run, runs
from dbtui.core.subjects import SUBJECTS

BEAR = SUBJECTS["teddy-bear"]
SMALL = [
    "--model",
    "mini",
    "--set",
    "data.resolution=64",
    "--set",
    "sampling.every=0",
    "--set",
    "training.batch_size=1",
]
DEADLINE = 120.0


def dbtui(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dbtui", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=240,
    )


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE:g} s for {what}"
        time.sleep(0.05)


def steps_done(run: Run) -> int:
    return run.journal.read_text().count('"kind": "step"') if run.journal.exists() else 0


@pytest.fixture(autouse=True)
def no_trainer_left() -> Iterator[None]:
    yield
    for run in runs():
        trainer = run.trainer()
        if trainer is not None:
            psutil.Process(trainer[0]).kill()


def test_from_photos_to_pictures_and_out_of_the_library(tmp_path: Path) -> None:
    taught = dbtui(
        "train",
        str(BEAR.folder),
        "--name",
        "rex",
        "--prompt",
        BEAR.prompt,
        *SMALL,
        "--set",
        "training.steps=3",
        "--json",
    )
    assert taught.returncode == 0, taught.stderr
    answer = json.loads(taught.stdout)
    assert (answer["state"], answer["step"], answer["concept"]) == ("done", 3, "rex")
    assert "training" in taught.stderr, "without a terminal there is still a word of progress"

    listed = json.loads(dbtui("ls", "--json").stdout)
    assert [c["name"] for c in listed["concepts"]] == ["rex"] and listed["runs"] == []
    assert set(listed["concepts"][0]["trained"]) == {"unet", "text_encoder"}
    assert not list(Path(listed["concepts"][0]["path"]).glob("vae*")), "only what was trained is kept"

    out = tmp_path / "pictures"
    drawn = dbtui(
        "sample", "rex", "a sks toy \u96ea", "--negative", "blur", "--rows", "1", "--cols", "2", "--steps", "2",
        "--seed", "7", "--out", str(out), "--json",
    )  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr
    assert sorted(p.name for p in out.iterdir()) == ["000.png", "001.png", "grid.png"]
    assert [p["seed"] for p in json.loads(drawn.stdout)["pictures"]] == [7, 8]
    with Image.open(out / "001.png") as picture:
        text = picture.text["parameters"]  # type: ignore[attr-defined]
    assert text.startswith(
        "a sks toy \u96ea\nNegative prompt: blur\nSteps: 2, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 8"
    )

    quick = ("sample", "mini", "a toy", "--rows", "1", "--cols", "1", "--steps", "1", "--show")
    shown = dbtui(*quick, "--out", str(tmp_path / "words"))
    assert shown.stdout == f"{tmp_path}/words/grid.png\n", "a file gets words, not colours"
    assert "\x1b[" in dbtui(*quick, "--out", str(tmp_path / "blocks"), "--images", "blocks").stdout, "unless asked to"

    assert dbtui("train", str(BEAR.folder), "--name", "rex", *SMALL).returncode == 2, "the name is taken"
    assert dbtui("rename", "rex", "max").returncode == 0
    assert json.loads(dbtui("show", "max", "--json").stdout)["prompt"] == BEAR.prompt
    assert dbtui("rm", "max").returncode == 1, "nobody could be asked, so nothing is removed"
    assert dbtui("rm", "max", "--yes").returncode == 0
    listed = json.loads(dbtui("ls", "--json").stdout)
    assert listed == {"concepts": [], "runs": []}


def test_detached_run_is_stopped_and_resumed_from_another_shell() -> None:
    started = dbtui(
        "train", str(BEAR.folder), "--name", "rex", *SMALL, "--set", "training.steps=100000", "--detach", "--json"
    )
    run = find_run(json.loads(started.stdout)["run"])
    assert json.loads((run.path / "process.json").read_text())["pid"] == json.loads(started.stdout)["pid"]
    wait_for(lambda: steps_done(run) > 2, "three steps")
    assert dbtui("resume", "rex").returncode == 1, "it has a trainer"
    assert dbtui("rm", run.id, "--yes").returncode == 2, "it is in use"
    stopped = dbtui("stop", "rex", "--json")
    assert stopped.returncode == 0, stopped.stderr
    step = json.loads(stopped.stdout)["step"]
    assert run.state().name == "stopped" and step > 2
    assert dbtui("follow", "rex").returncode == 130

    assert dbtui("resume", "rex", "--detach").returncode == 0
    resumed = f'"resumed_from": {step}'
    wait_for(lambda: resumed in run.journal.read_text(), "the resumed trainer's word")
    os.kill(int(json.loads((run.path / "process.json").read_text())["pid"]), signal.SIGTERM)
    wait_for(lambda: run.state().name == "stopped", "the end")


class Terminal:
    """A command in a session and terminal of its own."""

    def __init__(self, *command: str) -> None:
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            os.execv(command[0], list(command))
        self.text = ""

    def read_until(self, words: str) -> None:
        os.set_blocking(self.handle, False)

        def seen() -> bool:
            with contextlib.suppress(BlockingIOError, OSError):
                self.text += os.read(self.handle, 65536).decode(errors="replace")
            return words in self.text

        wait_for(seen, words)

    def type(self, keys: str) -> None:
        os.write(self.handle, keys.encode())

    def close(self) -> None:
        """Pull the plug: the kernel sends SIGHUP to the session's foreground group."""
        os.close(self.handle)

    def code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def train_in_terminal() -> tuple[Terminal, Run]:
    terminal = Terminal(
        sys.executable,
        "-m",
        "dbtui",
        "train",
        str(BEAR.folder),
        "--name",
        "rex",
        *SMALL,
        "--set",
        "training.steps=100000",
    )
    terminal.read_until("loss")
    return terminal, find_run("rex")


def test_closing_the_terminal_leaves_the_trainer_running() -> None:
    terminal, run = train_in_terminal()
    terminal.close()
    terminal.code()
    before = steps_done(run)
    wait_for(lambda: steps_done(run) > before + 3, "steps after the terminal was closed")
    assert run.state().name == "live"


def test_ctrl_c_asks_and_detaching_leaves_the_trainer_running() -> None:
    terminal, run = train_in_terminal()
    terminal.type("\x03")
    terminal.read_until("[d] detach")
    terminal.type("d\n")
    terminal.read_until("dbtui follow")
    assert terminal.code() == 130
    assert run.state().name == "live"
    again = Terminal(sys.executable, "-m", "dbtui", "follow", "rex")
    again.read_until("loss")
    again.type("\x03")
    again.read_until("[s] stop")
    again.type("s\n")
    assert again.code() == 130
    assert run.state().name == "stopped"


def test_a_command_that_is_killed_gives_the_cursor_back_and_leaves_the_trainer_running() -> None:
    terminal, run = train_in_terminal()
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.code() == 128 + signal.SIGTERM
    with contextlib.suppress(BlockingIOError, OSError):
        while more := os.read(terminal.handle, 65536):
            terminal.text += more.decode(errors="replace")
    assert terminal.text.rindex("\x1b[?25h") > terminal.text.rindex("\x1b[?25l")
    assert run.state().name == "live"


def test_of_two_that_resume_at_once_one_is_told_that_there_is_a_trainer() -> None:
    started = dbtui("train", str(BEAR.folder), "--name", "rex", *SMALL, "--set", "training.steps=100000", "--detach")
    assert started.returncode == 0 and dbtui("stop", "rex").returncode == 0
    command = [sys.executable, "-m", "dbtui", "resume", "rex", "--detach"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [one.communicate(timeout=DEADLINE)[1] for one in both]
    assert sorted(one.returncode for one in both) == [0, 1]
    refusal = told[[one.returncode for one in both].index(1)]
    assert "has a trainer" in refusal and "did not start" not in refusal
