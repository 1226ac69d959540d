"""The app in a real terminal: how it begins, how it is left, and what it leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from dbtui.core.run import runs

PATIENCE = 60.0


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_training_outlives_ctrl_c_and_a_lost_connection(terminal: Callable[..., Any]) -> None:
    with terminal(100, 30, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive") as screen:
        screen.wait_for("Try the demo")
        screen.type("\r")
        screen.wait_for("live")
        (run,) = runs()
        trainer = run.trainer()
        assert trainer is not None
        process = psutil.Process(trainer[0])
        try:
            assert os.getsid(process.pid) != os.getsid(screen.process.pid)
            screen.type("\x03")
            screen.wait_for("Ctrl-C again")
            assert screen.process.poll() is None and process.is_running()
            screen.type("\x03")
            screen.wait_for("goes on training")
            wait(lambda: screen.process.poll() is not None)
            assert screen.process.returncode == 0 and process.is_running()

            with terminal(100, 30) as again:
                again.wait_for("teddy-bear")
                again.hang_up()
                wait(lambda: again.process.poll() is not None)
            assert process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        finally:
            process.kill()


def test_an_idle_library_sends_nothing(terminal: Callable[..., Any], concept: Any) -> None:
    concept("mug")
    with terminal(80, 24) as screen:
        screen.wait_for("mug")
        screen.wait_until_quiet()
        assert screen.read(5.0) == b""
        assert screen.process.poll() is None


def test_a_terminal_of_sixteen_colours_is_used_as_one(terminal: Callable[..., Any], concept: Any) -> None:
    concept("mug")
    with terminal(80, 24, TERM="screen", COLORTERM="", TEXTUAL_COLOR_SYSTEM="standard") as screen:
        screen.wait_for("mug")
        screen.read(0.5)
        assert b"38;2" not in screen.written and b"38;5" not in screen.written


def test_without_a_terminal_there_is_help() -> None:
    result = subprocess.run([sys.executable, "-m", "dbtui"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert result.returncode == 0 and result.stdout.startswith("Usage:") and "\x1b" not in result.stdout


def test_what_libraries_say_of_a_damaged_photo_is_not_in_the_window(
    terminal: Callable[..., Any], photos: Path, photo: Callable[..., Image.Image]
) -> None:
    photo(1).save(photos / "good.tif", compression="tiff_adobe_deflate")
    data = bytearray((photos / "good.tif").read_bytes())
    data[1000:1100] = bytes(100)
    (photos / "bad.tif").write_bytes(data)
    read = f"from PIL import Image; Image.open({str(photos / 'bad.tif')!r}).load()"
    outside = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True)
    assert "ZIPDecode" in outside.stderr.split("Traceback")[0], "the library in C says so by itself"
    with terminal(100, 30) as screen:
        screen.wait_for("Try the demo")
        screen.type("n")
        screen.wait_for("Folder")
        screen.read(1.0)
        written = screen.written
        screen.type(f"/\x15{photos}\r")
        screen.wait_for("bad.tif")
        screen.wait_until_quiet()
        assert "damaged" in screen.text or "cannot" in screen.text
        assert b"ZIPDecode" not in written + screen.written
        screen.type("\x03\x03")
        wait(lambda: screen.process.poll() is not None)
        assert screen.process.returncode == 0


def test_a_pipe_among_the_photos_is_not_waited_for(
    terminal: Callable[..., Any], photos: Path, photo: Callable[..., Image.Image]
) -> None:
    os.mkfifo(photos / "a.jpg")
    (photos / "b.jpg").symlink_to("nowhere")
    photo(1).save(photos / "c.jpg")
    with terminal(100, 30, "--images", "blocks") as screen:
        screen.wait_for("Try the demo")
        screen.type("n")
        screen.wait_for("Folder")
        screen.read(1.0)
        screen.type(f"/\x15{photos}\r")
        screen.wait_for("a.jpg is not used: not a regular file")
        screen.wait_for("\N{UPPER HALF BLOCK}")  # of a picture behind the pipe
        screen.wait_until_quiet()
        assert "Errno" not in screen.text
        screen.type("\x03\x03")
        wait(lambda: screen.process.poll() is not None)
        assert screen.process.returncode == 0


def test_a_way_to_draw_pictures_that_does_not_exist_is_refused(terminal: Callable[..., Any]) -> None:
    with terminal(80, 24, "--images", "blokcs") as screen:
        screen.wait_for("Did you mean 'blocks'?")
        wait(lambda: screen.process.poll() is not None)
        assert screen.process.returncode == 2
