"""A home of its own for every test, and makers of the things that tests need most."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

# Before anything imports Triton, which decides then: where there is no GPU, kernels run in its interpreter.
if shutil.which("nvidia-smi") is None and not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
# Before anything imports torch: two workers on two cores, whose threads spin while they wait, never come to an end.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# As in the engine's own processes.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

import pytest
from PIL import Image, ImageDraw

from dbtui.core import paths
from dbtui.core.config import Config
from dbtui.core.run import Run

pytest_plugins = ["tiny_models"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library, the runs and the cache of this test alone; the hub is not asked."""
    folder = tmp_path / "dbtui-home"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("DBTUI_HOME", str(folder))
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """An empty folder for photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def draw_photo(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A sharp, colourful picture that is unlike that of any other seed."""
    draws = random.Random(seed)
    image = Image.effect_noise(size, 24).convert("RGB")
    pencil = ImageDraw.Draw(image)
    for _ in range(40):
        x, y, r = draws.randrange(size[0]), draws.randrange(size[1]), draws.randrange(6, 30)
        colour = tuple(draws.randrange(256) for _ in range(3))
        shape = pencil.ellipse if draws.random() < 0.5 else pencil.rectangle
        shape((x - r, y - r, x + r, y + r), fill=colour)
    return image


@pytest.fixture
def photo() -> Callable[..., Image.Image]:
    """``photo(seed, size)`` is a sharp picture that is unlike that of any other seed."""
    return draw_photo


@pytest.fixture
def new_run() -> Callable[..., Run]:
    """``new_run("rex")`` is a new run for the concept ``rex``."""

    def make(name: str = "rex") -> Run:
        return Run.create(Config().replace({"concept.name": name}), [{"path": "/a.jpg", "sha256": "0" * 64}])

    return make


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    """A copy of the embedded model that a test may damage."""
    return Path(shutil.copytree(paths.mini_dir() / "model", tmp_path / "model"))


@pytest.fixture
def hollow_model(tmp_path: Path) -> Path:
    """A copy of the embedded model, with weights of a few bytes, that a test may damage."""
    source, copy = paths.mini_dir() / "model", tmp_path / "model"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    header = b'{"w":{"dtype":"F16","shape":[500],"data_offsets":[0,1000]}}'
    for weights in source.glob("*/*.safetensors"):
        data = weights.parent.name.encode().ljust(1000, b"\0")
        (copy / weights.relative_to(source)).write_bytes(struct.pack("<Q", len(header)) + header + data)
    return copy


@pytest.fixture
def edit_json() -> Callable[..., None]:
    """``edit_json(path, key=value)`` changes keys of a JSON file."""

    def edit(path: Path, **changes: object) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


class SmallDisk:
    """A disk of its own that is soon full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, left: int = 0) -> None:
        """Leave no more than ``left`` bytes."""
        self.empty()
        free = shutil.disk_usage(self.folder).free
        self._ballast.write_bytes(b"0" * max(0, free - left))

    def empty(self) -> None:
        """Give back what ``fill`` took."""
        self._ballast.unlink(missing_ok=True)

    def grow(self, size: str) -> None:
        """Make it a disk of ``size``, as mount takes it."""
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 400 KB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k,mode=700", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield SmallDisk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)
