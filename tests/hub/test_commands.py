"""Base models of the hub from the command line: real commands, trainers and terminals against a real server."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dbtui.core.library import find_sound_concept
from dbtui.core.run import find_run, runs
from dbtui.core.subjects import SUBJECTS
from dbtui.core.weights import sha256

BEAR = SUBJECTS["teddy-bear"]
UNET = "unet/diffusion_pytorch_model.safetensors"
SMALL = [
    *("--set", "data.resolution=64"),
    *("--set", "training.steps=2"),
    *("--set", "training.batch_size=1"),
    *("--set", "sampling.every=0"),
]
TRAIN = ["train", str(BEAR.folder), "--name", "rex", "--model", "tiny/sd", *SMALL]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def no_trainer_left() -> Iterator[None]:
    yield
    for run in runs():
        trainer = run.trainer()
        if trainer is not None:
            psutil.Process(trainer[0]).kill()


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.05)


def log_in(environment: dict[str, str], token: str) -> None:
    folder = Path(environment["HF_HOME"])
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(token)


def command_lines() -> str:
    """Of all processes of this machine."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(file.read_bytes().decode(errors="replace"))
    return "\n".join(lines)


def test_a_run_downloads_its_model_is_stopped_in_the_middle_and_resumed_to_a_concept(
    mini_hub: Any, dbtui: Command, hub_environment: dict[str, str], home: Path
) -> None:
    log_in(hub_environment, mini_hub.token)
    go_on = threading.Event()
    mini_hub.fail(UNET, stall=go_on, times=1)
    started = dbtui(*TRAIN, "--detach", "--json", hub=mini_hub)
    assert started.returncode == 0, started.stderr
    assert "3 files" in started.stderr and mini_hub.url in started.stderr, "what is to be downloaded is said"
    run = find_run("rex")

    half = len(mini_hub.files[UNET]) // 2
    wait_for(
        lambda: re.search(r'"name": "downloading unet \(1/3\)", "done": \d{6}', run.journal.read_text()) is not None,
        "bytes",
    )
    assert '"unit": "bytes"' in run.journal.read_text()
    assert mini_hub.token not in command_lines()
    stopper = subprocess.Popen(
        [sys.executable, "-m", "dbtui", "stop", "rex"], env={**hub_environment, "HF_ENDPOINT": mini_hub.url},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: (run.path / "control" / "stop.json").exists() or run.state().over, "the request")
    go_on.set()
    stopped = stopper.communicate(timeout=60)
    assert stopper.returncode == 0 and run.state().name == "stopped", stopped
    (partial,) = Path(hub_environment["HF_HOME"]).rglob("*.incomplete")
    arrived = partial.stat().st_size
    assert 0 < arrived < len(mini_hub.files[UNET])

    mini_hub.fail(UNET, cut=half // 2, times=1)
    mini_hub.fail("vae/diffusion_pytorch_model.safetensors", status=503, times=1)
    resumed = dbtui("resume", "rex", hub=mini_hub)
    assert resumed.returncode == 0, resumed.stderr
    starts = [seen.start for seen in mini_hub.asked(UNET)]
    assert starts == ["", f"bytes={arrived}-", f"bytes={arrived + half // 2}-"]
    assert "The download was cut" in resumed.stderr and "503" in resumed.stderr and "Downloaded" in resumed.stderr
    concept = find_sound_concept("rex")
    assert (concept.base, run.state().name) == ("tiny/sd", "done")
    snapshot = Path(hub_environment["HF_HOME"]) / "hub" / "models--tiny--sd" / "snapshots" / mini_hub.commit
    assert sha256(snapshot / UNET) == sha256(partial.with_suffix("")) == partial.stem

    before = len(mini_hub.seen)
    drawn = dbtui("sample", "rex", "a toy", *["--rows", "1", "--cols", "1", "--steps", "2", "--json"], hub=mini_hub)
    assert drawn.returncode == 0, drawn.stderr
    assert len(mini_hub.seen) == before, "what is in the cache is used without a word to the hub"
    said = "".join(text for result in (started, resumed, drawn) for text in (result.stdout, result.stderr))
    assert mini_hub.token not in said + "".join(stopped)
    for file in home.rglob("*"):
        assert not file.is_file() or mini_hub.token.encode() not in file.read_bytes(), file


def test_a_picture_of_a_base_model_waits_for_its_download(mini_hub: Any, dbtui: Command, tmp_path: Path) -> None:
    arguments = [
        "sample",
        "tiny/sd",
        "a toy",
        *["--rows", "1", "--cols", "1", "--steps", "2", "--json", "--out"],
        str(tmp_path / "out"),
    ]
    drawn = dbtui(*arguments, hub=mini_hub)
    assert drawn.returncode == 0, drawn.stderr
    assert json.loads(drawn.stdout)["grid"] == str(tmp_path / "out" / "grid.png")
    for words in ("asking the hub", "3 files, 40.6 MB", "downloading unet (1/3)", "of 26.4 MB"):
        assert words in drawn.stderr
    assert "config.json" not in drawn.stderr, "what takes no time has no line"
    assert not [seen for seen in mini_hub.seen if seen.path.endswith((".bin", ".ckpt", ".onnx", ".msgpack", ".py"))]


@pytest.mark.parametrize(
    "status,words", [(401, "dbtui login"), (403, "Accept"), (404, "nothing has this name"), (429, "slow down")]
)
def test_a_refusal_reaches_the_person_and_the_token_does_not(
    status: int, words: str, hub: Any, dbtui: Command, hub_environment: dict[str, str]
) -> None:
    log_in(hub_environment, hub.token)
    hub.fail("model_index.json" if status != 404 else "/api/models", status=status, headers={"Retry-After": "3600"})
    for command in (TRAIN, ["sample", "tiny/sd", "a toy"]):
        refused = dbtui(*command, "--json", hub=hub)
        assert refused.returncode == (2 if status == 404 else 1)
        assert (words in refused.stderr and f"{hub.url}/tiny/sd" in refused.stderr) or status == 429
        assert json.loads(refused.stdout)["error"]["title"]
        assert "Traceback" not in refused.stderr and hub.token not in refused.stderr + refused.stdout
    assert runs() == [] and f"Bearer {hub.token}" in {seen.token for seen in hub.seen}


def test_a_refusal_in_the_middle_fails_the_run_in_words(
    hub: Any, dbtui: Command, hub_environment: dict[str, str]
) -> None:
    log_in(hub_environment, hub.token)
    hub.fail(UNET, status=403)
    failed = dbtui(*TRAIN, hub=hub)
    assert failed.returncode == 1
    assert "is gated" in failed.stderr and "dbtui resume" in failed.stderr and f"{hub.url}/tiny/sd" in failed.stderr
    assert find_run("rex").state().name == "failed"
    assert hub.token not in failed.stderr + find_run("rex").journal.read_text() + find_run("rex").log.read_text()
    hub.seen.clear()
    forbidden = dbtui("resume", "rex", "--offline", hub=hub)
    assert forbidden.returncode == 1 and "not on this machine" in forbidden.stderr
    assert hub.seen == [], "the trainer keeps to it too"


@pytest.mark.parametrize("how", ["option", "environment"])
def test_offline_asks_nobody(how: str, hub: Any, dbtui: Command) -> None:
    more = {"HF_HUB_OFFLINE": "1"} if how == "environment" else {}
    for command in (TRAIN, ["sample", "tiny/sd", "a toy"], ["train", str(BEAR.folder)]):
        refused = dbtui(*command, *(["--offline"] if how == "option" else []), hub=hub, **more)
        assert refused.returncode == 2 and "not on this machine" in refused.stderr
    assert hub.seen == [] and runs() == []


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self.text = ""
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            more = {"TERM": "xterm", "COLUMNS": "200"}
            os.execve(sys.executable, [sys.executable, "-m", "dbtui", *arguments], {**environment, **more})

    def read_until(self, words: str) -> None:
        os.set_blocking(self.handle, False)

        def seen() -> bool:
            with contextlib.suppress(OSError):
                self.text += os.read(self.handle, 65536).decode(errors="replace")
            return words in self.text

        wait_for(seen, f"{words!r} after {self.text[-500:]!r}", 60)

    def type(self, keys: str) -> None:
        os.write(self.handle, keys.encode())

    def end(self) -> int:
        """The exit code; what is still said is read."""
        os.set_blocking(self.handle, True)
        with contextlib.suppress(OSError):  # the end of a terminal
            while more := os.read(self.handle, 65536):
                self.text += more.decode(errors="replace")
        os.close(self.handle)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_person_is_asked_before_gigabytes(hub: Any, hub_environment: dict[str, str]) -> None:
    terminal = Terminal({**hub_environment, "HF_ENDPOINT": hub.url}, *TRAIN)
    terminal.read_until("Download it? [y] yes, [n] no (y):")
    terminal.type("n\n")
    assert terminal.end() == 1
    assert "3 files, 3." in terminal.text and "was not downloaded" in terminal.text
    assert runs() == [] and not hub.asked(UNET)


def test_a_person_sees_the_bytes_and_may_leave(mini_hub: Any, hub_environment: dict[str, str]) -> None:
    go_on = threading.Event()
    mini_hub.fail(UNET, stall=go_on, times=1)
    terminal = Terminal({**hub_environment, "HF_ENDPOINT": mini_hub.url}, "sample", "tiny/sd", "a toy")
    terminal.read_until("(y):")
    terminal.type("\n")
    terminal.read_until("downloading unet (1/3)")
    (partial,) = Path(hub_environment["HF_HOME"]).rglob("*.incomplete")
    wait_for(lambda: partial.stat().st_size > 0, "bytes")
    terminal.type("\x03")
    assert terminal.end() == 130
    go_on.set()
    assert "What arrived was kept" in terminal.text and partial.stat().st_size > 0
