"""The borders between the layers, and what a light command may load."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dbtui

PACKAGE = Path(dbtui.__file__).parent
HEAVY = ["torch", "diffusers", "transformers", "textual"]
FORBIDDEN = {
    "core": ["torch", "diffusers", "transformers", "textual", "dbtui.engine", "dbtui.jobs", "dbtui.app"],
    "jobs": ["torch", "diffusers", "transformers", "textual", "dbtui.engine", "dbtui.app"],
    "engine": ["textual", "dbtui.jobs", "dbtui.app"],
    "app": ["torch", "diffusers", "transformers", "dbtui.engine"],
}


def imported(file: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_layer_imports_nothing_above_it(layer: str) -> None:
    for file in (PACKAGE / layer).rglob("*.py"):
        for name in imported(file):
            for forbidden in FORBIDDEN[layer]:
                assert name != forbidden and not name.startswith(forbidden + "."), f"{file.name} imports {name}"


def test_the_embedded_model_is_data_and_its_recipe_is_used_by_nothing() -> None:
    """The recipe may import torch, since it trains; but it is not installed, so the package must do without it."""
    assert imported(PACKAGE / "mini" / "__init__.py") == set()
    recipe = PACKAGE / "mini" / "recipe"
    for file in PACKAGE.rglob("*.py"):
        if not file.is_relative_to(recipe):
            assert not any(name.startswith("dbtui.mini.recipe") for name in imported(file)), file


@pytest.mark.parametrize(
    "statement",
    [
        "import dbtui",
        "import dbtui.jobs.launch, dbtui.jobs.begin, dbtui.jobs.follow, dbtui.jobs.generate, dbtui.jobs.supervise, dbtui.jobs.export",
        "import sys; sys.argv = ['dbtui', '--help']; from dbtui.cli import cli; cli.main(['--help'], standalone_mode=False)",
        "from dbtui.cli import cli; cli.main(['ls'], standalone_mode=False)",
        "from dbtui.cli import cli; cli.main(['where'], standalone_mode=False)",
        "from dbtui.cli import cli; cli.main(['cache'], standalone_mode=False)",
    ],
)
def test_light_command_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}\nimport sys; print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize(
    "module",
    [
        "app",
        "screens.library",
        "screens.dashboard",
        "screens.pictures",
        "screens.parameters",
        "screens.prompt",
        "screens.compare",
    ],
)
def test_the_app_loads_no_model_library(module: str) -> None:
    code = f"import dbtui.app.{module}\nimport sys; print([m for m in {HEAVY[:3]!r} if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"


def test_every_dependency_says_why() -> None:
    """Only where the repository is at hand: the installed package has no pyproject.toml."""
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    lines = text.split("dependencies = [")[1].split("\n]")[0].splitlines()[1:]
    names = tomllib.loads(text)["project"]["dependencies"]
    reasons = 0
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.strip().startswith("#"):
            reasons += 1
            assert following.strip().startswith('"')
    assert reasons and len(names) == sum(line.strip().startswith('"') for line in lines)


def test_no_file_is_too_long_to_read() -> None:
    for file in PACKAGE.rglob("*.py"):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 700, file
