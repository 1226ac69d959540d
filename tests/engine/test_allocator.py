"""The engine's process before anything is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dbtui.engine.__main__ import ALLOCATOR

PROGRAM = """
import os
from dbtui.engine.__main__ import main
main(["nothing that there is"])
print(os.environ.get("PYTORCH_CUDA_ALLOC_CONF"), os.environ.get("PYTORCH_ALLOC_CONF"))
"""
NAMES = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, f"{ALLOCATOR} None"),
        ({NAMES[0]: "backend:native"}, "backend:native None"),
        ({NAMES[1]: "backend:native"}, "None backend:native"),
    ],
)
def test_memory_is_taken_in_segments_that_grow_unless_a_person_says_how(said: dict[str, str], found: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env={**environment, **said})
    assert done.stdout.strip() == found
