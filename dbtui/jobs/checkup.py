"""Checks of everything that teaching needs: what was found, whether that is well, and what to do if not."""

from __future__ import annotations

import fcntl
import locale
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from dbtui import __version__
from dbtui.core import hub_account, paths
from dbtui.core.errors import UsageError
from dbtui.core.hub_cache import cache_root, is_offline
from dbtui.core.tty import Capabilities, has_terminal
from dbtui.core.units import format_bytes, plural
from dbtui.core.weights import free_space
from dbtui.jobs.findings import Findings
from dbtui.jobs.gpus import Gpu
from dbtui.jobs.processes import cores

OK, NOTE, PROBLEM = "ok", "note", "problem"
"""States of a check. A note is what one may want to know, or change; a problem is in the way."""

GB = 1024**3
ROOM = 15 * GB
"""Bytes on disk that a training of Stable Diffusion 1.5 takes: the base model, two checkpoints, the concept."""

LEAST_ROOM = 2 * GB
LEAST_MEMORY = 8 * GB
SMALLEST_WINDOW = (80, 24)

LIBRARIES = ("diffusers", "transformers", "accelerate")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the page."""

    group: str
    label: str
    value: str
    state: str = OK
    hint: str = ""


def check_machine() -> list[Check]:
    """Python, processor, memory, and the language that programs are told to write in."""
    memory = psutil.virtual_memory()
    small = memory.total < LEAST_MEMORY
    encoding = locale.getpreferredencoding(False).upper()
    told = next((os.environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), "")
    utf8 = all("UTF8" in words.upper().replace("-", "") for words in (encoding, told))
    return [
        Check("Machine", "dbtui", f"{__version__}, Python {platform.python_version()} in {sys.prefix}"),
        Check("Machine", "processor", f"{plural(cores(), 'core')}, {platform.machine()}, {platform.system()}"),
        Check(
            "Machine",
            "memory",
            f"{format_bytes(memory.available)} free of {format_bytes(memory.total)}",
            NOTE if small else OK,
            f"Loading Stable Diffusion takes about {format_bytes(LEAST_MEMORY)}; mini needs a tenth." if small else "",
        ),
        Check(
            "Machine",
            "characters",
            f"{encoding}, locale {told or 'not set'}",
            OK if utf8 else NOTE,
            "" if utf8 else "If lines and pictures look garbled: export LANG=C.UTF-8",
        ),
    ]


def check_gpus(gpus: Sequence[Gpu], why_none: str) -> list[Check]:
    """Each GPU's memory as the driver knows it; ``why_none`` if there is none."""
    if not gpus:
        hint = "Stable Diffusion needs a GPU; the embedded model, `--model mini`, learns on a processor in minutes."
        return [Check("GPU", "driver", why_none, NOTE, hint)]
    checks = [Check("GPU", "driver", f"NVIDIA {gpus[0].driver}, {plural(len(gpus), 'GPU')}")]
    for gpu in gpus:
        held = gpu.total and gpu.free < gpu.total / 2
        value = f"{gpu.name}, {format_bytes(gpu.free)} free of {format_bytes(gpu.total)}" if gpu.total else gpu.name
        hint = "Other programs hold most of its memory; nvidia-smi names them." if held else ""
        checks.append(Check("GPU", f"GPU {gpu.index}", value, NOTE if held else OK, hint))
    return checks


@dataclass(frozen=True, slots=True)
class Trial:
    """How to tell one of the engine's findings: ``words`` of one that is well, what a bad one is, what to do then."""

    finding: str
    label: str
    words: Callable[[dict[str, Any]], str]
    bad: str = PROBLEM
    hint: str = ""


def _torch_words(found: dict[str, Any]) -> str:
    built = f"for CUDA {found['cuda']}" if found["cuda"] else f"for ROCm {found['hip']}" if found["hip"] else "for CPUs"
    return f"{found['version']}, built {built}"


def _device_words(found: dict[str, Any]) -> str:
    if found["device"] != "cuda":
        return f"{found['device']}, 32 bit"
    chip = ".".join(map(str, found["capability"]))
    return f"{plural(len(found['names']), 'GPU')}, compute {chip}, {'bf16' if found['bf16'] else 'fp16'}"


TRIALS = (
    Trial("torch", "PyTorch", _torch_words, hint="Install it anew: pip install --force-reinstall torch"),
    Trial(
        "device",
        "trains on",
        _device_words,
        hint="Update the NVIDIA driver, or install the PyTorch that is built for it: pytorch.org/get-started",
    ),
    Trial(
        "libraries",
        "libraries",
        lambda _: ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES),
        hint=f"Install them anew: pip install --force-reinstall {' '.join(LIBRARIES)}",
    ),
    Trial(
        "eight_bit",
        "8-bit Adam",
        lambda _: f"bitsandbytes {metadata.version('bitsandbytes')}, a step of it works",
        NOTE,
        "AdamW is used in its place, whose state takes four times the memory.",
    ),
    Trial(
        "kernels",
        "fast step",
        lambda found: "for NVIDIA GPUs only" if found.get("needless") else "this program's kernels work",
        NOTE,
        "Steps are computed in the plain way, which is slower. Triton needs a C compiler: apt install gcc",
    ),
)


def check_engine(findings: Findings, gpus: Sequence[Gpu]) -> list[Check]:
    """PyTorch, the device, the libraries, the optimizer and attention, as they were tried."""
    checks = []
    for trial in TRIALS:
        found = findings.get(trial.finding)
        if found is None:
            continue
        if found.get("problem"):
            checks.append(Check("PyTorch", trial.label, found["problem"], trial.bad, trial.hint))
        elif trial.finding == "device" and gpus and found["device"] == "cpu":
            checks.append(Check("PyTorch", trial.label, "the CPU, though there is a GPU", PROBLEM, trial.hint))
        else:
            checks.append(Check("PyTorch", trial.label, trial.words(found)))
    if "attention" in findings:
        checks.append(_check_attention(findings["attention"]))
    if "crash" in findings:
        crash = findings["crash"]
        checks.append(
            Check(
                "PyTorch",
                "crashed",
                f"while trying {crash['trying'].replace('_', ' ') or 'to start'}: {crash['problem']}",
                PROBLEM,
                "PyTorch or a driver is damaged, or they do not fit together. Install PyTorch anew: pytorch.org/get-started",
            )
        )
    return checks


def _check_attention(found: dict[str, Any]) -> Check:
    backends = found.get("backends", {})
    working = [name for name, problem in backends.items() if not problem]
    if not working:
        why = found.get("problem") or next(iter(backends.values()))
        return Check("PyTorch", "attention", why, PROBLEM, "Install PyTorch anew: pytorch.org/get-started")
    thrifty = set(working) - {"math"}
    hint = "" if thrifty else "Only the plain way works, which takes more memory: choose a lower resolution."
    return Check("PyTorch", "attention", ", ".join(working), OK if thrifty else NOTE, hint)


def check_folders() -> list[Check]:
    """Room in the folders, and whether files can be written, locked and renamed there."""
    checks = []
    for label, folder in {"data": paths.data_dir(), "cache": paths.cache_dir(), "settings": paths.config_dir()}.items():
        fault = folder_fault(folder)
        free = free_space(folder)
        hint = "Set DBTUI_HOME to a folder of yours on a local disk." if fault else ""
        if not fault and free < ROOM and label == "data":
            hint = f"A training of Stable Diffusion takes about {format_bytes(ROOM)}; mini takes 1 GB. DBTUI_HOME can be on another disk."
        bad = fault or (free < LEAST_ROOM and label == "data")
        value = f"{format_bytes(free)} free in {folder}{f': {fault}' if fault else ''}"
        checks.append(Check("Folders", label, value, PROBLEM if bad else NOTE if hint else OK, hint))
    try:
        models = cache_root()
    except UsageError as error:
        return [*checks, Check("Folders", "models", error.message, PROBLEM, error.hint)]
    existing = next(path for path in (models, *models.parents) if path.exists())
    usable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    value = f"{format_bytes(free_space(models))} free in {models}{'' if usable else ': cannot be written'}"
    hint = "" if usable else "Set HF_HOME to a folder of yours, or give a model's folder with --model."
    checks.append(Check("Folders", "models", value, OK if usable else NOTE, hint))
    return checks


def folder_fault(folder: Path) -> str:
    """Why dbtui cannot keep things in ``folder``; ``""`` if it can. The folder is made, as its first use would."""
    try:
        paths.make_private(folder)
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as trial:
            first, second = Path(trial) / "first", Path(trial) / "second"
            second.write_text("old")
            paths.write_atomic(first, "new")
            with open(first, "ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.replace(first, second)
            if second.read_text() != "new":
                return "a renamed file has its old content"
    except OSError as error:
        return f"{error.strerror or error}"
    return ""


def check_hub() -> Check:
    """Whether models that need a login can be had."""
    if is_offline():
        return Check(
            "Hub", "login", "offline: HF_HUB_OFFLINE is set, nothing is downloaded", NOTE, "unset HF_HUB_OFFLINE"
        )
    try:
        logged_in = hub_account.logged_in()
    except UsageError as error:
        return Check("Hub", "login", error.message, PROBLEM, error.hint)
    if logged_in:
        return Check("Hub", "login", f"there is a token for {hub_account.endpoint()}")
    hint = "Only gated and private models need one: dbtui login"
    return Check("Hub", "login", f"no token for {hub_account.endpoint()}", NOTE, hint)


COLOURS = {"truecolor": "16.7 million colours", "256": "256 colours", "16": "16 colours"}

WAYS = {
    "kitty": "pixels, by kitty's graphics",
    "sixel": "pixels, by Sixel",
    "blocks": "coloured blocks, four to a character",
    "half": "coloured blocks, two to a character",
    "off": "in words only",
}


def check_terminal(terminal: Capabilities) -> list[Check]:
    """Size, colours, and how pictures are shown."""
    if not has_terminal():
        return [Check("Terminal", "terminal", "none: the app cannot open here, the commands can be used")]
    size = tuple(shutil.get_terminal_size())
    small = size[0] < SMALLEST_WINDOW[0] or size[1] < SMALLEST_WINDOW[1]
    name = terminal.name or os.environ.get("TERM", "")
    within = f" within {terminal.within}" if terminal.within else ""
    poor = terminal.colours != "truecolor"
    return [
        Check("Terminal", "terminal", f"{name}{within}{', over SSH' if terminal.ssh else ''}"),
        Check(
            "Terminal",
            "size",
            f"{size[0]} x {size[1]} characters of {terminal.cell[0]} x {terminal.cell[1]} pixels",
            NOTE if small else OK,
            "The app needs a window of 80 x 24." if small else "",
        ),
        Check(
            "Terminal",
            "colours",
            COLOURS[terminal.colours],
            NOTE if poor else OK,
            "If it has more: export COLORTERM=truecolor, which SSH does not pass on by itself." if poor else "",
        ),
        Check("Terminal", "pictures", WAYS[terminal.pictures], NOTE if terminal.hint else OK, terminal.hint),
    ]
