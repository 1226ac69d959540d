"""A small hub on loopback: real HTTP over a model's files, with dialects and faults as data."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from dbtui.core import paths
from dbtui.core.receive import Listener

NAME = "tiny/sd"
TOKEN = "hf_" + "Sekret" * 6
COMMIT = "c0ffee" * 6 + "c0de"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What a hub tells of its files, beyond their bytes."""

    commit: bool = True
    linked: bool = True
    """Large files have X-Linked-Etag and X-Linked-Size, as on the public hub."""
    etags: str = "hub"
    """hub (git's sha1 for small files, sha256 for large ones), sha1, sha256, path (a hash of the name), odd or none."""
    head: bool = True
    ranges: bool = True
    lengths: bool = True


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with requests whose path contains ``path``, the first ``times`` of them."""

    path: str
    method: str = "GET"
    times: int = 1_000_000
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    """Bytes of the body after which the connection is closed."""
    wrong: Callable[[bytes], bytes] | None = None
    """Changes the bytes, and not what is said about them."""
    stall: threading.Event | None = None
    """Half of the body is sent, the rest once this is set."""


@dataclass(frozen=True)
class Seen:
    """A request that came in."""

    method: str
    path: str
    start: str
    token: str


class Hub(ThreadingHTTPServer):
    """Serves ``files`` as the model ``name``; notes every request."""

    daemon_threads = True
    name, token, commit = NAME, TOKEN, COMMIT

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files or {}
        self.dialect = Dialect()
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.storage: Hub | None = None
        """Another host, to which requests for large files are sent."""
        self.sizes = ""
        """What is said of the size of large files, if it is not the truth."""
        self.accounts = {TOKEN: "somebody"}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fail(self, path: str, **how: Any) -> None:
        """Let requests for ``path`` go wrong: the fields of ``Fault``."""
        self.faults.append(Fault(path=path, **how))

    def speak(self, **how: Any) -> None:
        """Answer in another dialect: the fields of ``Dialect``."""
        self.dialect = Dialect(**how)

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.method == method and fault.path in path and fault.times:
                    fault.times -= 1
                    return fault
        return None

    def asked(self, file: str, method: str = "GET") -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and seen.path.endswith(file)]


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        hub, path = self.server, unquote(self.path)
        token = self.headers.get("Authorization", "")
        hub.seen.append(Seen(self.command, path, self.headers.get("Range", ""), token))
        fault = hub.fault(self.command, path)
        if fault and fault.status:
            return self.send(fault.status, f"Refused: {token}".encode(), fault.headers)
        if path.startswith("/api/"):
            return self.api(path, token.removeprefix("Bearer "))
        if self.command == "HEAD" and not hub.dialect.head:
            return self.send(501)
        prefix = f"/{NAME}/resolve/"
        revision, _, file = path.removeprefix(prefix).partition("/")
        if not path.startswith(prefix) or revision not in ("main", COMMIT) or file not in hub.files:
            return self.send(404, headers={"X-Error-Code": "EntryNotFound"})
        return self.file(file, fault or Fault(path=""))

    def api(self, path: str, token: str) -> None:
        hub = self.server
        if path == "/api/whoami-v2":
            name = hub.accounts.get(token)
            return self.send(200, json.dumps({"name": name}).encode()) if name else self.send(401)
        if path not in (f"/api/models/{NAME}", f"/api/models/{NAME}/revision/main"):
            return self.send(404, headers={"X-Error-Code": "RepoNotFound"})
        listing = {"id": NAME, "siblings": [{"rfilename": file} for file in hub.files]}
        return self.send(200, json.dumps(listing | ({"sha": COMMIT} if hub.dialect.commit else {})).encode())

    def file(self, file: str, fault: Fault) -> None:
        hub, data = self.server, self.server.files[file]
        headers = self.facts(file, data)
        if hub.storage and file.endswith(".safetensors"):
            return self.send(302, headers={**headers, "Location": f"{hub.storage.url}{urlsplit(self.path).path}"})
        status, start = 200, 0
        asked = self.headers.get("Range", "")
        if asked and hub.dialect.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                return self.send(416)
            status, headers["Content-Range"] = 206, f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = (fault.wrong(data) if fault.wrong else data)[start:]
        return self.send(status, body, headers, fault)

    def facts(self, file: str, data: bytes) -> dict[str, str]:
        dialect, large = self.server.dialect, file.endswith(".safetensors")
        sha256, sha1 = hashlib.sha256(data).hexdigest(), hashlib.sha1(data).hexdigest()
        git = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        other = hashlib.sha256(file.encode()).hexdigest()
        etag = {"hub": sha256 if large else git, "sha1": sha1, "sha256": sha256, "odd": "an-odd_one.7", "path": other}
        headers = {"Accept-Ranges": "bytes"}
        if dialect.etags in etag:
            headers["ETag"] = f'"{etag[dialect.etags]}"'
        if dialect.linked and large:
            headers |= {
                "X-Linked-Etag": f'"{sha256}"',
                "X-Linked-Size": self.server.sizes or str(len(data)),
                "ETag": '"of-the-storage"',
            }
        return headers | ({"X-Repo-Commit": COMMIT} if dialect.commit else {})

    def send(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, fault: Fault | None = None
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if self.server.dialect.lengths:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.stall:
            self.wfile.write(body[: len(body) // 2])
            fault.stall.wait(60)
            body = body[len(body) // 2 :]
        if fault and fault.cut is not None:
            body, self.close_connection = body[: fault.cut], True
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True


@pytest.fixture
def start_hub() -> Iterator[Callable[..., Hub]]:
    """``start_hub(files)`` is a hub that answers."""
    hubs: list[Hub] = []

    def start(files: dict[str, bytes] | None = None) -> Hub:
        hub = Hub(files)
        hubs.append(hub)
        threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return hub

    yield start
    for hub in hubs:
        hub.shutdown()
        hub.server_close()


@pytest.fixture
def hub(start_hub: Callable[..., Hub], hollow_model: Path) -> Hub:
    """A hub with a model whose weights are of a kilobyte each."""
    return start_hub(files_of(hollow_model))


@pytest.fixture
def mini_hub(start_hub: Callable[..., Hub]) -> Hub:
    """A hub with the embedded model."""
    return start_hub(files_of(paths.mini_dir() / "model"))


@pytest.fixture
def hub_here(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process asks ``hub`` and has a cache and a login of its own."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_STORED_TOKENS_PATH", str(tmp_path / "hf" / "stored_tokens"))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited; nobody waits."""
    waits: list[float] = []
    monkeypatch.setattr(Listener, "pause", lambda self, seconds, *where: waits.append(seconds))
    return waits


def files_of(folder: Path) -> dict[str, bytes]:
    """A model's files, and beside them what no download needs."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for extra in ("README.md", "model.ckpt", "unet/diffusion_pytorch_model.bin", "safety_checker/model.safetensors",
                  "unet/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_flax_model.msgpack",
                  "unet/model.onnx", "pipeline.py"):  # fmt: skip
        files[extra] = b"not needed"
    return files


@pytest.fixture
def hub_environment(tmp_path: Path) -> dict[str, str]:
    """For a command that may ask the hub: a cache and a login of its own."""
    drop = ("HF_", "HUGGING_FACE_", "TRANSFORMERS_OFFLINE")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
    return {**environment, "HF_HOME": str(tmp_path / "hf"), "no_proxy": "127.0.0.1"}


@pytest.fixture
def dbtui(hub_environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``dbtui("train", ..., hub=hub)`` runs the command with that hub."""

    def run(*arguments: str, hub: Hub, text: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dbtui", *arguments],
            env={**hub_environment, "HF_ENDPOINT": hub.url, **more},
            capture_output=True,
            text=True,
            timeout=120,
            **({"input": text} if text is not None else {"stdin": subprocess.DEVNULL}),  # type: ignore[call-overload]
        )

    return run
