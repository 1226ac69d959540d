"""The cache from the command line: what it lists, what it asks, what it removes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dbtui.core import paths

DAY = 86400.0


def dbtui(*arguments: str, hub: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "dbtui", "cache", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        env={**os.environ, "HF_HUB_CACHE": str(hub)},
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A hub cache with one model."""
    snapshot = tmp_path / "hub" / "models--someone--one" / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"x" * 5000)
    return tmp_path / "hub"


@pytest.fixture
def folders(hub: Path) -> list[Path]:
    """Class pictures that were used 40, 20 and 0 days ago, 1 KB each."""
    made = []
    for name, days in (("a", 40), ("b", 20), ("c", 0)):
        folder = paths.make_private(paths.cache_dir() / "class" / (name * 32))
        (folder / "00000.png").write_bytes(b"p" * 1024)
        then = time.time() - days * DAY
        os.utime(folder, (then, then))
        made.append(folder)
    return made


def there(folders: list[Path]) -> str:
    return "".join(folder.name[0] for folder in folders if folder.exists())


def test_what_is_kept_is_listed_with_sizes_and_places(folders: list[Path], hub: Path) -> None:
    listed = dbtui(hub=hub)
    assert listed.returncode == 0
    *rows, total = listed.stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["hub", "class", "class", "class"]
    assert "4.9 KB" in rows[0] and rows[0].endswith("someone/one")
    assert "7.9 KB" in total and str(paths.cache_dir()) in total and str(hub) in total
    told = json.loads(dbtui("--json", hub=hub).stdout)
    assert told["size"] == 5000 + 3 * 1024 and len(told["entries"]) == 4
    assert set(told["entries"][0]) == {"kind", "what", "path", "size", "used", "in_use"}


def test_an_empty_cache_is_no_error(tmp_path: Path) -> None:
    assert dbtui(hub=tmp_path / "none").returncode == 0
    pruned = dbtui("prune", "--kind", "latents,hub", "--yes", hub=tmp_path / "none")
    assert pruned.returncode == 0 and "nothing to remove" in pruned.stdout


def test_pruning_asks_first_and_a_dry_run_only_says(folders: list[Path], hub: Path) -> None:
    refused = dbtui("prune", "--older-than", "30d", hub=hub)
    assert refused.returncode == 1 and "Nothing was removed" in refused.stderr
    dry = dbtui("prune", "--older-than", "30d", "--dry-run", "--yes", hub=hub)
    assert dry.returncode == 0 and "1.0 KB would be removed" in dry.stdout
    assert there(folders) == "abc"


def test_pruning_by_age_then_by_size_then_by_kind(folders: list[Path], hub: Path) -> None:
    by_age = dbtui("prune", "--older-than", "30d", "--yes", hub=hub)
    assert by_age.returncode == 0 and there(folders) == "bc"
    by_size = dbtui("prune", "--to-size", "1KB", "--yes", "--json", hub=hub)
    assert there(folders) == "c"
    assert [entry["path"] for entry in json.loads(by_size.stdout)["removed"]] == [str(folders[1])]
    assert dbtui("prune", "--kind", "class", "--yes", hub=hub).returncode == 0
    assert there(folders) == "" and list(hub.iterdir())


def test_models_of_the_hub_go_only_when_they_are_named(folders: list[Path], hub: Path) -> None:
    assert dbtui("prune", "--to-size", "0", "--yes", hub=hub).returncode == 0
    assert there(folders) == "" and list(hub.iterdir())
    asked = dbtui("prune", "--kind", "hub", hub=hub)
    assert asked.returncode == 1 and "shared with other programs" in asked.stderr and list(hub.iterdir())
    assert dbtui("prune", "--kind", "hub", "--yes", hub=hub).returncode == 0
    assert not list(hub.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Prune what?"),
        (["--older-than", "yesterday"], "30d, 12h or 2w"),
        (["--to-size", "small"], "500MB or 5GB"),
        (["--kind", "klass", "--yes"], "Did you mean 'class'?"),
    ],
)
def test_wrong_use_removes_nothing(folders: list[Path], hub: Path, arguments: list[str], words: str) -> None:
    wrong = dbtui("prune", *arguments, hub=hub)
    assert wrong.returncode == 2 and words in wrong.stderr
    assert there(folders) == "abc"
