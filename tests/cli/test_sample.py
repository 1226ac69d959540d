"""``dbtui sample`` that is cancelled."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

PATIENCE = 120


def test_ctrl_c_ends_a_drawing_and_its_process_and_leaves_no_empty_folder(tmp_path: Path) -> None:
    out = tmp_path / "pictures"
    process = subprocess.Popen(
        [sys.executable, "-m", "dbtui", "sample", "mini", "a photo of a dog", "--steps", "1000", "--out", str(out)],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + PATIENCE
    while not (engines := psutil.Process(process.pid).children()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)  # in the middle of loading the libraries
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert "Cancelled. No picture was finished." in said and "Traceback" not in said
    assert not any(engine.is_running() for engine in engines) and not out.exists()
