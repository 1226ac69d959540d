"""Prompts that were drawn before, kept between sessions: the newest last, each once."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dbtui.core import paths
from dbtui.core.errors import printable

MOST = 200
"""Prompts that are kept."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt, and what was not wanted with it."""

    prompt: str
    negative: str = ""


def prompts_file() -> Path:
    return paths.data_dir() / "prompts.json"


def read_prompts() -> tuple[list[Asked], str]:
    """The kept prompts, and what is wrong with their file; then there are none."""
    file = prompts_file()
    try:
        return [Asked(str(entry["prompt"]), str(entry["negative"])) for entry in json.loads(file.read_bytes())], ""
    except FileNotFoundError:
        return [], ""
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        return [], f"{printable(file)}: {printable(error)}"


def remember_prompts(asked: Sequence[Asked]) -> list[Asked]:
    """Keep ``asked`` as the newest, and return all. A damaged file is put aside. Raises OSError."""
    known, problem = read_prompts()
    file = prompts_file()
    paths.make_private(file.parent)
    if problem:
        with contextlib.suppress(FileNotFoundError):
            os.replace(file, file.with_suffix(".damaged.json"))
    known = [*(other for other in known if other not in asked), *asked][-MOST:]
    paths.write_atomic(file, json.dumps([asdict(each) for each in known], ensure_ascii=False, indent=1))
    return known
