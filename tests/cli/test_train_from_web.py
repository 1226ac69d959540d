"""Photos from web addresses, from the command line, against a real server on this machine."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dbtui.core import paths
from dbtui.core.run import runs
from dbtui.core.subjects import SUBJECTS

BEAR = SUBJECTS["teddy-bear"]
SMALL = ["training.steps=1", "data.resolution=64", "sampling.every=0", "training.batch_size=1"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    """The address of a server of the bear's photos, on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(BEAR.folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def train(*arguments: str) -> subprocess.CompletedProcess[str]:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    command = [sys.executable, "-m", "dbtui", "train", "--model", "mini", *settings, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=240)
    assert "Traceback" not in done.stderr + done.stdout
    return done


def from_web(*urls: str) -> list[str]:
    return ["--allow-private", *(word for url in urls for word in ("--url", url))]


def test_a_run_learns_from_photos_that_it_downloads_and_keeps(site: str) -> None:
    urls = [f"{site}/1.jpg", f"{site}/2.jpg", f"{site}/2.jpg"]
    taught = train(*from_web(*urls), "--prompt", "a photo of sks toy", "--json")
    assert taught.returncode == 0, taught.stderr
    assert json.loads(taught.stdout)["concept"] == "sks-toy"
    assert "downloading picture 2/2" in taught.stderr and "downloaded once" in taught.stderr
    (run,) = runs()
    assert run.config.data.folder == str(run.path / "photos") and run.config.data.urls == urls
    kept = sorted((run.path / "photos").iterdir())
    assert [photo.read_bytes() for photo in kept] == [(BEAR.folder / f"{i}.jpg").read_bytes() for i in (1, 2)]
    assert [photo["path"] for photo in run.sources()] == [str(photo) for photo in kept]
    assert not list(paths.cache_dir().glob(".*")), "nothing is left of the download"
    again = train("--config", str(run.path / "config.toml"), "--set", "concept.name=again", "--json")
    assert again.returncode == 0, "the photos of the first run are there, so that nothing is downloaded again"


def test_nothing_is_begun_unless_every_photo_arrives(site: str) -> None:
    failed = train(*from_web(f"{site}/1.jpg", f"{site}/gone.jpg"))
    assert failed.returncode == 1 and "gone.jpg: the server answered 404" in failed.stderr
    refused = train("--url", f"{site}/1.jpg")
    assert refused.returncode == 1 and "--allow-private" in refused.stderr
    assert not runs() and not list(paths.cache_dir().glob(".*"))


def test_what_else_is_wrong_is_said_before_anything_is_downloaded(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1/a.png"
    for arguments, words in (
        (from_web(nowhere, "ftp://example.com/a.png"), "neither http nor https"),
        (["--set", "data.resolution=100", *from_web(nowhere)], "multiples of 16"),
        ([str(tmp_path), *from_web(nowhere)], "one or the other"),
        ([nowhere], f"--url {nowhere}"),
    ):
        wrong = train(*arguments)
        assert wrong.returncode == 2 and words in wrong.stderr, wrong.stderr
