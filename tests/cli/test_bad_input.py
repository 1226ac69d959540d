"""What a new user gets wrong: each answered in a sentence, with exit code 2 or 1 and no traceback."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dbtui.core import paths
from dbtui.core.run import Run
from dbtui.core.subjects import SUBJECTS

BEAR = SUBJECTS["teddy-bear"].folder


def dbtui(*arguments: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "dbtui", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert "Traceback" not in result.stderr + result.stdout
    assert "\x1b" not in result.stderr + result.stdout
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("not a picture")
    (tmp_path / "tiny").mkdir()
    Image.new("RGB", (3, 1)).save(tmp_path / "tiny" / "a.png")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], "Which photos?"),
        (["train", "{}/nowhere"], "There is no folder"),
        (["train", "{}/empty"], "has no files"),
        (["train", "{}/texts"], "a.txt: not a picture"),
        (["train", "{}/tiny"], "3 x 1 pixels"),
        (["train", str(BEAR), "--set", "training.stepz=3"], "Did you mean 'training.steps'?"),
        (["train", str(BEAR), "--set", "steps=3"], "Did you mean 'training.steps'?"),
        (["train", str(BEAR), "--set", "training.steps=0"], "1 to 1,000,000"),
        (["train", str(BEAR), "--set", "training.steps"], "has no '='"),
        (["train", str(BEAR), "--preset", "tutoral"], "Did you mean 'tutorial'?"),
        (["train", str(BEAR), "--prompt", ""], "The prompt is empty"),
        (["train", str(BEAR), "--track", "tensorbord"], "Did you mean 'tensorboard'?"),
        (["train", str(BEAR), "--name", "../evil"], "cannot be a name"),
        (["train", str(BEAR), "--model", "/nowhere/model"], "There is no model /nowhere/model"),
        (["train", str(BEAR), "--model", "no-one/nothing"], "not on this machine"),
        (["train", str(BEAR), "--model", "models/missing.safetensors"], "There is no model models/missing.safetensors"),
        (["train", str(BEAR), "--model", "no-one/nothing@fp16"], "Did you mean no-one/nothing?"),
        (["train", str(BEAR), "--model", "https://huggingface.co/no-one/nothing/tree/main"], "mean no-one/nothing?"),
        (["train", str(BEAR), "--model", "models\udcff.ckpt"], "models\\udcff.ckpt is not in UTF-8"),
        (["train", str(BEAR), "--config", "{}/no.toml"], "no.toml"),
        (["train", str(BEAR), "--set", "data.resolution=100"], "multiples of 16"),
        (["sample", "nobody", "x"], "There is no concept 'nobody'"),
        (["sample", "../evil", "x"], "There is no concept"),
        (["sample", "missing.ckpt", "x"], "There is no model missing.ckpt"),
        (["sample", "models/missing.Safetensors", "x"], "There is no model models/missing.Safetensors"),
        (["sample", "mini", " "], "The prompt is empty"),
        (["sample", "mini", "caf\udce9"], "not in UTF-8"),
        (["sample", "mini", "x", "--negative", "caf\udce9"], "not in UTF-8"),
        (["sample", "mini", "x", "--scheduler", "eulr"], "Did you mean 'euler'?"),
        (["sample", "mini", "x", "--rows", "0"], "not in the range"),
        (["follow", "nobody"], "There is no run"),
        (["stop", "../.."], "There is no run"),
        (["resume", "nobody"], "There is no run"),
        (["show", "nobody"], "There is no concept"),
        (["rename", "nobody", "x"], "There is no concept"),
        (["rm", "nobody", "--yes"], "There is no concept"),
        (["demo", "--subject", "robt"], "Did you mean 'robot'?"),
        (["trian"], "No such command"),
        (["bench", "--arguments", "'open"], "--arguments cannot be"),
    ],
)
def test_wrong_use_is_answered_in_words(folder: Path, arguments: list[str], words: str) -> None:
    if arguments[0] == "train" and "--model" not in arguments:
        arguments = [*arguments, "--model", "mini"]
    result = dbtui(*[a.replace("{}", str(folder)) for a in arguments])
    assert result.returncode == 2
    assert words in result.stderr
    assert not paths.runs_dir().exists(), "nothing is left of a run that never was"


def test_truncated_weights_are_named_before_anything_starts(folder: Path) -> None:
    model = shutil.copytree(paths.mini_dir() / "model", folder / "cut")
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000_000])
    result = dbtui("train", str(BEAR), "--model", str(model))
    assert result.returncode == 1
    assert "cut short" in result.stderr and "27,661,272" in result.stderr
    assert not paths.runs_dir().exists()


def test_pictures_that_are_there_are_not_replaced(folder: Path) -> None:
    (folder / "empty" / "grid.png").write_bytes(b"mine")
    result = dbtui("sample", "mini", "a cat", "--out", str(folder / "empty"))
    assert result.returncode == 2 and "--overwrite" in result.stderr
    assert (folder / "empty" / "grid.png").read_bytes() == b"mine"


def test_config_printed_is_config_read(folder: Path) -> None:
    printed = dbtui("train", str(BEAR), "--model", "mini", "--set", "training.steps=7", "--print-config").stdout
    (folder / "again.toml").write_text(printed)
    again = dbtui("train", "--config", str(folder / "again.toml"), "--print-config").stdout
    assert again == printed
    assert "steps = 7\n" in again


def test_errors_are_json_where_json_was_asked_for() -> None:
    import json

    result = dbtui("show", "nobody", "--json")
    assert result.returncode == 2
    assert json.loads(result.stdout)["error"]["title"] == "There is no concept 'nobody'"
    result = dbtui("show", "--json")
    assert result.returncode == 2
    assert json.loads(result.stdout)["error"]["hint"].endswith("dbtui show --help")


@pytest.mark.parametrize("command", ["where", "--help", "show nobody --json"])
def test_an_output_that_takes_nothing_is_told_and_failed(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # what is printed leaves Python as it ends, as mostly
    line = f"{shlex.quote(sys.executable)} -m dbtui {command}"
    with open("/dev/full", "w") as full:
        done = subprocess.run(shlex.split(line), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert "The output could not be written: No space left on device." in done.stderr
    assert "Exception" not in done.stderr and "dbtui where" not in done.stderr


@pytest.mark.parametrize("command", ["where", "--help", "show nobody 2>&1", "nonsense 2>&1"])
def test_a_reader_that_has_gone_needs_no_words(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    line = f"{{ {shlex.quote(sys.executable)} -m dbtui {command}; echo $? >{tmp_path}/code; }} | true"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
    assert (tmp_path / "code").read_text() == "1\n"
    assert done.stderr == ""


@pytest.mark.parametrize("name,value", [("HF_ENDPOINT", "http://[::1"), ("HF_HUB_DOWNLOAD_TIMEOUT", "soon")])
@pytest.mark.parametrize("command", [["train", str(BEAR), "--model", "mini"], ["login"], ["cache"]])
def test_an_environment_that_the_hub_s_library_cannot_begin_with_is_named(
    command: list[str], name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    result = dbtui(*command)
    assert result.returncode in (1, 2)
    if command != ["login"] or name != "HF_ENDPOINT":  # nothing came to log in with
        assert name in result.stderr or "No token came" in result.stderr


@pytest.mark.parametrize("command", ["login", "ls", "where"])
def test_a_shell_may_close_any_of_the_three_streams(command: str) -> None:
    for closed in ("<&-", ">&-", "2>&-"):
        line = f"{shlex.quote(sys.executable)} -m dbtui {command} {closed}"
        done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
        assert done.returncode == (2 if command == "login" else 0) and "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_that_is_not_in_utf_8_sees_names_by_their_numbers(
    encoding: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "concepts" / "\u304f\u307e").mkdir(parents=True)
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    result = dbtui("ls")
    assert result.returncode == 0
    assert "\\u304f\\u307e" in result.stdout


def test_a_full_disk_that_takes_no_wish_to_stop_is_told(
    small_disk: Any, new_run: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBTUI_HOME", str(small_disk.folder / "home"))
    run = new_run("rex")
    lock = run.claim()
    small_disk.fill()
    result = dbtui("stop", "rex")
    run.release(lock)
    assert result.returncode == 1
    assert "is full" in result.stderr and f"{run.id} goes on training" in result.stderr
