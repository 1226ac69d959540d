"""The page on this machine: complete where all is well, and most of all where it is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

RUN = [sys.executable, "-m", "dbtui", "doctor"]


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [*RUN, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=240,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in result.stdout + result.stderr and "\x1b" not in result.stdout
    return result


def before(folder: Path) -> str:
    """A PYTHONPATH with ``folder`` in front."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def checks(page: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {f"{check['group']}/{check['label']}": check for check in page["checks"]}


@pytest.fixture
def shadow(tmp_path: Path) -> Path:
    """A folder that comes before the installed packages."""
    folder = tmp_path / "shadow"
    folder.mkdir()
    return folder


def test_everything_is_tried_and_told() -> None:
    result = doctor("--json")
    page = json.loads(result.stdout)
    found = checks(page)
    assert result.returncode == 0, page["checks"]
    assert page["problems"] == 0
    assert page["engine"]["attention"]["backends"]["math"] == ""
    assert metadata.version("torch") in found["PyTorch/PyTorch"]["value"]
    assert "math" in found["PyTorch/attention"]["value"]
    assert "bitsandbytes" in found["PyTorch/8-bit Adam"]["value"]
    assert "diffusers" in found["PyTorch/libraries"]["value"]
    assert {"Machine/memory", "GPU/driver", "Folders/data", "Folders/models", "Hub/login", "Terminal/terminal"} <= {
        *found
    }
    assert "HF_HUB_OFFLINE" in found["Hub/login"]["value"]
    assert all(check["hint"] for check in page["checks"] if check["state"] != "ok")
    assert not list(Path(os.environ["DBTUI_HOME"]).rglob(".doctor-*")), "nothing is left of the trials"


def test_settings_of_the_hub_that_make_no_sense_are_lines_of_the_page() -> None:
    result = doctor("--json", HF_ENDPOINT="http://[::1", HF_HUB_OFFLINE="0")
    found = checks(json.loads(result.stdout))
    assert result.returncode == 1
    for line in ("Folders/models", "Hub/login"):
        assert found[line]["state"] == "problem" and "HF_ENDPOINT" in found[line]["value"]


def test_a_broken_torch_is_a_line_of_the_page(shadow: Path) -> None:
    (shadow / "torch.py").write_text("raise ImportError('libcudart.so.12: \\x1b[31mcannot open\\nmore')")
    result = doctor(PYTHONPATH=before(shadow))
    assert result.returncode == 1
    assert "libcudart.so.12: \\x1b[31mcannot open" in result.stdout
    assert "pip install --force-reinstall torch" in result.stdout
    assert "free in" in result.stdout and "login" in result.stdout, "the rest of the page is there"
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "1 problem in the way" in result.stdout


@pytest.mark.parametrize(
    ("code", "words"),
    [("os.kill(os.getpid(), 11)", "killed by SIGSEGV"), ("print('no driver'); sys.exit('gone: \\x07')", "gone: \\x07")],
)
def test_a_torch_that_kills_its_process_is_told_with_what_was_tried(code: str, words: str, shadow: Path) -> None:
    (shadow / "torch.py").write_text(f"import os, sys; {code}")
    result = doctor("--json", PYTHONPATH=before(shadow))
    crash = checks(json.loads(result.stdout))["PyTorch/crashed"]
    assert result.returncode == 1
    assert crash["value"] == f"while trying torch: {words}"
    assert crash["hint"]


def test_a_data_folder_that_cannot_be_written_is_a_problem(shadow: Path, tmp_path: Path) -> None:
    (shadow / "torch.py").write_text("raise ImportError('left out')")  # which takes seconds
    (tmp_path / "file").write_text("")
    result = doctor("--json", PYTHONPATH=before(shadow), DBTUI_HOME=str(tmp_path / "file" / "home"))
    data = checks(json.loads(result.stdout))["Folders/data"]
    assert (data["state"], result.returncode) == ("problem", 1)
    assert "Not a directory" in data["value"] and "DBTUI_HOME" in data["hint"]
