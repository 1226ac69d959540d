"""What the cache is said to hold, what pruning chooses, and what it never touches."""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from dbtui.core import paths
from dbtui.core.cache import ABOUT, LATENTS_KEY, Entry, choose, entries, remove
from dbtui.core.checksums import Checksums, holds
from dbtui.core.config import Config
from dbtui.core.run import Run
from dbtui.core.units import parse_age, parse_bytes
from dbtui.core.weights import remembered_sha256, sha256

OWN = ("class", "latents", "hashes", "unfinished")
DAY = 86400.0


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache of this test alone, with two models that have the same commit."""
    from huggingface_hub import constants

    root = tmp_path / "hub"
    for name in ("someone/one", "someone/two"):
        folder = root / f"models--{name.replace('/', '--')}"
        snapshot = folder / "snapshots" / ("c" * 40)
        snapshot.mkdir(parents=True)
        (folder / "blobs").mkdir()
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("c" * 40)
        (folder / "blobs" / "b").write_bytes(b"x" * 1000)
        (snapshot / "model.safetensors").symlink_to("../../blobs/b")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root))
    return root


def aged(path: Path, days: float) -> Path:
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def class_entry(name: str, days: float, pictures: int = 2, about: object = None) -> Path:
    folder = paths.make_private(paths.cache_dir() / "class" / (name * 32)[:32])
    for number in range(pictures):
        (folder / f"{number:05}.png").write_bytes(b"p" * 500)
    described = {"prompt": "a photo of a dog", "resolution": 64, "model": "mini"} if about is None else about
    (folder / ABOUT).write_text(described if isinstance(described, str) else json.dumps(described))
    return aged(folder, days)


def latents_entry(name: str, days: float, size: int = 1000) -> Path:
    file = paths.make_private(paths.cache_dir() / "latents") / f"{(name * 64)[:64]}.safetensors"
    header = json.dumps({"__metadata__": {LATENTS_KEY: json.dumps({"what": "1.jpg at 64 px"})}}).encode()
    file.write_bytes((struct.pack("<Q", len(header)) + header).ljust(size, b"\0"))
    return aged(file, days)


def found(*kinds: str) -> list[tuple[str, str]]:
    return [(entry.kind, entry.what) for entry in entries(kinds or OWN)]


def test_entries_say_what_they_are_the_longest_unused_first(tmp_path: Path) -> None:
    class_entry("a", days=5)
    latents_entry("b", days=9)
    (tmp_path / "model").write_bytes(b"weights")
    remembered_sha256(tmp_path / "model")
    assert found() == [
        ("latents", "1.jpg at 64 px"),
        ("class", "'a photo of a dog' at 64 px from mini, 2 pictures"),
        ("hashes", str(tmp_path / "model")),
    ]
    latents, made, _ = entries(OWN)
    assert latents.size == 1000 and made.size > 1000
    assert time.time() - made.used == pytest.approx(5 * DAY, abs=60)


@pytest.mark.parametrize("about", ["", "{", "[]", '{"prompt": 3}', "[" * 10_000, '"\x00"'])
def test_damaged_descriptions_do_not_stop_the_list(about: str) -> None:
    class_entry("a", days=1, about=about)
    broken = latents_entry("b", days=1)
    broken.write_bytes(b"\xff" * 100)
    assert sorted(found("class", "latents")) == [
        ("class", "2 pictures of which nothing is known"),
        ("latents", "damaged"),
    ]


def test_what_a_description_says_cannot_drive_a_terminal() -> None:
    class_entry("a", days=1, about={"prompt": "dog", "resolution": "\x1b[2J", "model": "\u202e"})
    ((_, what),) = found("class")
    assert "\x1b" not in what and "\u202e" not in what


def test_a_pipe_in_the_place_of_an_entry_is_not_waited_for() -> None:
    (class_entry("a", days=1) / ABOUT).unlink()
    os.mkfifo(paths.cache_dir() / "class" / ("a" * 32) / ABOUT)
    for kind, name in (("latents", "b" * 64 + ".safetensors"), ("hashes", "c" * 64)):
        os.mkfifo(paths.make_private(paths.cache_dir() / kind) / name)
    assert sorted(found()) == [
        ("class", "2 pictures of which nothing is known"),
        ("hashes", "damaged"),
        ("latents", "damaged"),
    ]
    for entry in entries(OWN):
        remove(entry)
    assert found() == []


def test_what_somebody_else_removed_first_is_told_apart_from_what_is_no_entry(tmp_path: Path) -> None:
    latents_entry("a", days=1)
    (gone,) = entries(["latents"])
    gone.path.unlink()
    with pytest.raises(FileNotFoundError):
        remove(gone)


def test_a_long_description_is_cut_to_a_line() -> None:
    class_entry("a", days=1, about={"prompt": "dog\n" * 1000, "resolution": "9" * 10_000, "model": "mini"})
    ((_, what),) = found("class")
    assert len(what) < 130 and "\n" not in what


def entry(name: str, size: int, days: float, in_use: bool = False) -> Entry:
    return Entry("latents", name, Path(name), size, 100 * DAY - days * DAY, in_use)


@pytest.mark.parametrize(
    ("older_than", "to_size", "names"),
    [
        (None, None, "dcba"),
        (3 * DAY, None, "dc"),
        (99 * DAY, None, ""),
        (None, 35, "d"),
        (None, 30, "d"),
        (None, 29, "dc"),
        (None, 0, "dcba"),
        (None, 1000, ""),
        (3 * DAY, 15, "dcb"),
        (3 * DAY, 1000, "dc"),
    ],
)
def test_the_longest_unused_goes_first(older_than: float | None, to_size: int | None, names: str) -> None:
    known = [entry("b", 10, 2), entry("d", 10, 8), entry("a", 10, 1), entry("c", 10, 4)]
    assert "".join(e.what for e in choose(known, older_than, to_size, now=100 * DAY)) == names


def test_what_is_in_use_stays_and_counts() -> None:
    known = [entry("old", 10, 50, in_use=True), entry("b", 10, 8), entry("a", 10, 1)]
    assert [e.what for e in choose(known, now=100 * DAY)] == ["b", "a"]
    assert [e.what for e in choose(known, to_size=20, now=100 * DAY)] == ["b"]
    assert [e.what for e in choose(known, older_than=5 * DAY, now=100 * DAY)] == ["b"]


def test_removing_takes_the_entry_and_nothing_else() -> None:
    folder, kept = class_entry("a", days=1), class_entry("b", days=1)
    file, other = latents_entry("a", days=1), latents_entry("b", days=1)
    for doomed in entries(OWN):
        if doomed.path in (folder, file):
            remove(doomed)
    assert [e.path for e in entries(OWN)] in ([kept, other], [other, kept])
    assert sorted(p.name for p in paths.cache_dir().iterdir()) == ["class", "latents"]


def test_nothing_that_a_link_leads_to_is_ever_removed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    precious = [mine / "a.png", mine / f"{'e' * 64}.safetensors"]
    for file in precious:
        file.write_text("precious")
    cache = paths.make_private(paths.cache_dir() / "class")
    (cache / ("d" * 32)).symlink_to(mine)
    (paths.cache_dir() / "latents").symlink_to(mine)
    (paths.cache_dir() / ".scratch-1").symlink_to(mine)
    inside = class_entry("a", days=9)
    (inside / "00009.png").symlink_to(precious[0])
    (inside / "more").symlink_to(mine)
    aged(inside, 9)
    known = entries(OWN)
    assert [e.path for e in known] == [inside]
    remove(known[0])
    assert not inside.exists() and all(file.read_text() == "precious" for file in precious)


def test_what_is_no_entry_is_not_removed(tmp_path: Path) -> None:
    outside = tmp_path / ("a" * 32)
    outside.mkdir()
    stranger = paths.make_private(paths.cache_dir() / "class" / "holiday pictures")
    for path in (outside, stranger, paths.cache_dir(), paths.cache_dir() / "class" / ".."):
        with pytest.raises(ValueError, match="not in the cache"):
            remove(Entry("class", "", path, 0, 0))
    assert outside.exists() and stranger.exists() and not found()


def test_a_link_that_takes_an_entrys_place_is_not_followed(tmp_path: Path) -> None:
    folder = class_entry("a", days=1)
    (known,) = entries(OWN)
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    with pytest.raises(ValueError, match="not in the cache"):
        remove(known)
    assert (tmp_path / "moved" / "00000.png").exists()


def test_what_an_interrupted_program_left_is_found_once_it_is_old() -> None:
    root = paths.make_private(paths.cache_dir())
    old, young = root / ".scratch-old", root / ".scratch-young"
    old.mkdir()
    young.mkdir()
    aged(old, 1)
    partial = aged(latents_entry("a", 1).rename(root / "latents" / f".{'a' * 64}.safetensors.x1"), 1)
    known = {e.path: e.in_use for e in entries(["unfinished"])}
    assert known == {old: False, young: True, partial: False}


@pytest.fixture
def live_run(new_run: Callable[..., Run]) -> Run:
    """A run whose trainer is this process."""
    run = new_run()
    record = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    (run.path / "process.json").write_text(json.dumps(record))
    return run


def test_what_was_used_since_a_live_run_began_is_kept(live_run: Run) -> None:
    old, new = class_entry("a", days=30), class_entry("b", days=0)
    assert {e.path: e.in_use for e in entries(OWN)} == {old: False, new: True}
    (live_run.path / "process.json").unlink()
    assert not any(e.in_use for e in entries(OWN))


def test_models_of_the_hub_go_one_by_one(hub: Path) -> None:
    known = {e.what: e for e in entries(["hub"])}
    assert set(known) == {"someone/one", "someone/two"} and known["someone/one"].size == 1000
    remove(known["someone/one"])
    assert [p.name for p in hub.glob("models--*")] == ["models--someone--two"]
    assert (hub / "models--someone--two" / "blobs" / "b").exists()


def test_the_model_of_a_live_run_is_in_use(live_run: Run, hub: Path) -> None:
    for base in ("someone/two", str(hub / "models--someone--two" / "snapshots" / ("c" * 40))):
        (live_run.path / "config.toml").write_text(Config().replace({"model.base": base}).to_toml())
        assert {e.what: e.in_use for e in entries(["hub"])} == {"someone/one": False, "someone/two": True}


def test_no_cache_is_no_entries(hub: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub.rename(tmp_path / "elsewhere")
    assert entries() == []


def test_a_wrong_bit_in_a_remembered_hash_is_noticed(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"weights" * 1000)
    digest = remembered_sha256(model)
    (memory,) = (paths.cache_dir() / "hashes").iterdir()
    whole = memory.read_bytes()
    assert digest == sha256(model) and digest.encode() in whole
    for position in range(0, len(whole) - 1, 5):
        flipped = bytearray(whole)
        flipped[position] ^= 1
        memory.write_bytes(flipped)
        assert remembered_sha256(model) == digest
        assert memory.read_bytes() == whole
    aged(memory, 9)
    remembered_sha256(model)
    assert time.time() - memory.stat().st_mtime < DAY, "reading it is its last use"


def test_checksums_are_what_sha256sum_reads_and_survive_a_cut(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.png", "b c.png")]
    sums = Checksums(tmp_path)
    for file in files:
        file.write_text(file.name)
        sums.add(file)
    known = sums.read()
    assert known == {file.name: sha256(file) for file in files}
    assert all(holds(file, known[file.name]) for file in files) and not holds(files[0], known["b c.png"])
    files[0].write_text("changed")
    sums.add(files[0])
    assert sums.read()["a.png"] == sha256(files[0]), "the last line counts"
    sums.path.write_bytes(b"\xff../evil\n" + sums.path.read_bytes()[:-60])
    assert sums.read() == known, "the line that was cut off does not count"
    assert not holds(tmp_path / "none", "0" * 64) and not holds(files[0], None)


def test_sizes_and_ages_are_read_as_people_write_them() -> None:
    assert [parse_bytes(t) for t in ("5GB", "1.5 mb", "10", "2K")] == [5 * 2**30, 3 * 2**19, 10, 2048]
    assert [parse_age(t) for t in ("30d", "2 w", "12h", "90m")] == [30 * DAY, 14 * DAY, DAY / 2, 5400]
    for wrong in ("", "GB", "-1GB", "5 parsecs", "1e9", "5d"):
        with pytest.raises(ValueError):
            parse_bytes(wrong)
    for wrong in ("", "d", "-1d", "30", "1y"):
        with pytest.raises(ValueError):
            parse_age(wrong)
