"""`dbtui bench` for real, on the embedded model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dbtui.cli import cli
from dbtui.core.errors import UsageError

SMALL = ["bench", "--model", "mini", "--resolution", "64", "--steps", "2", "--draw-steps", "1"]

SCRIPT = """
import sys
given = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
assert sys.argv[-1] == "--use_8bit_adam"
if "--num_class_images" in given:
    assert "--with_prior_preservation" in sys.argv and given["--class_data_dir"]
    steps = int(given["--num_class_images"]) // int(given["--sample_batch_size"])
else:
    assert given["--train_batch_size"] == "1"
    steps = int(given["--max_train_steps"])
import threading
for i in range(steps + 1):
    threading.Event().wait(0.05)
    print(f"Steps: {i}/{steps} [00:0{i % 10}<00:01, loss=0.1]", end="\\r", file=sys.stderr, flush=True)
threading.Event().wait(600)
"""


def test_bench_measures_training_drawing_a_script_and_the_whole(tmp_path: Path) -> None:
    script = tmp_path / "train_dreambooth.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "dbtui", *SMALL, "--batch", "1", "--against", str(script), "--json"]
    command += ["--arguments", "--use_8bit_adam", "--whole", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["words"] and found["torch"] and not found["interrupted"]
    training, sampling, classes, pipeline, rival, its, whole, steps, *parts = found["rows"]
    assert not [row["problem"] for row in found["rows"] if row["problem"]]
    assert (training["what"], training["batch"], training["resolution"]) == ("training", 1, 64), training
    assert training["milliseconds"] > 0 and training["memory"] > 10**7 and 0 < training["floor"] < 1
    assert training["pictures"] == pytest.approx(1000 / training["milliseconds"])
    assert [row["what"] for row in (sampling, classes, pipeline)] == ["sampling", "class pictures", "diffusers"]
    assert all(
        row["pictures"] == pytest.approx(row["batch"] * 1000 / row["milliseconds"]) for row in (sampling, classes)
    )
    assert rival["what"] == script.name and rival["milliseconds"] > 40 and rival["how"] == "--use_8bit_adam"
    assert its["what"] == "its class pictures" and its["pictures"] == pytest.approx(4000 / its["milliseconds"])
    assert whole["what"] == "whole training"
    assert steps["what"] == "its steps" and 0 < steps["milliseconds"] < whole["milliseconds"]
    assert steps["pictures"] == pytest.approx(1000 / steps["milliseconds"])
    assert {"- starting", "- loading the model", "- training", "- saving the concept"} < {row["what"] for row in parts}
    assert sum(row["milliseconds"] for row in parts) == pytest.approx(whole["milliseconds"])
    assert not list(Path(os.environ["DBTUI_HOME"]).glob("cache/.scratch-*"))


def test_a_setting_that_fails_is_a_row_and_not_the_end(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('it needs \\x1b[31mtorchvision')")
    command = [sys.executable, "-m", "dbtui", *SMALL[:-1], "0", "--batch", "1", "--against", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "torchvision" in done.stdout and "\x1b" not in done.stdout and "training" in done.stdout


def test_ctrl_c_ends_the_measuring(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dbtui", *SMALL[:-4], "--steps", "9999", "--draw-steps", "0", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stderr is not None
    while "training at" not in (line := process.stderr.readline()):
        assert line, "it ended before it trained"
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert json.loads(out)["interrupted"]


@pytest.mark.parametrize("batch", ["0", "a", "1,,2"])
def test_numbers_that_make_no_sense_are_refused(batch: str) -> None:
    result = CliRunner().invoke(cli, ["bench", "--batch", batch], standalone_mode=False)
    assert isinstance(result.exception, UsageError)
