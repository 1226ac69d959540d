"""What a run will need, told from the command line before anything is started."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from dbtui.core import paths
from dbtui.core.subjects import SUBJECTS

BEAR = SUBJECTS["teddy-bear"].folder


def estimate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dbtui", "train", str(BEAR), "--model", "mini", "--estimate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)


def test_the_table_has_every_part_and_nothing_is_started() -> None:
    assert "memory while sampling" in estimate().stdout, "which needs most of the embedded model on a CPU"
    result = estimate("--set", "sampling.every=0", "--set", "training.layers=all")
    assert result.returncode == 0, result.stderr
    for word in (
        "memory while training",
        "weights",
        "gradients",
        "disk",
        "checkpoints",
        "stays afterwards",
        "time",
        "in the machine's memory",
    ):
        assert word in result.stdout
    assert "unknown" in result.stdout and "\x1b" not in result.stdout
    assert not paths.runs_dir().exists() and not paths.concepts_dir().exists()


def test_json_adds_up() -> None:
    values = json.loads(estimate("--json").stdout)
    assert sum(values["memory"]["parts"].values()) == values["memory"]["needed"] < values["memory"]["free"]
    assert sum(values["disk"]["parts"].values()) == values["disk"]["needed"] < values["disk"]["free"]
    assert values["seconds"]["total"] is None
    assert (
        values["memory"]["checkpoint_copy"]["bytes"] > 0 and values["memory"]["checkpoint_copy"]["place"] == "machine"
    )


def test_more_is_asked_for_more() -> None:
    less, more = (json.loads(estimate("--json", "--set", f"training.batch_size={n}").stdout) for n in (1, 8))
    assert more["memory"]["needed"] > less["memory"]["needed"]
    assert more["disk"]["needed"] == less["disk"]["needed"]


@pytest.mark.parametrize("bad", [["--set", "data.resolution=100"], ["--name", "../evil"]])
def test_what_is_wrong_is_still_found(bad: list[str]) -> None:
    result = estimate(*bad)
    assert result.returncode == 2 and "Traceback" not in result.stderr
