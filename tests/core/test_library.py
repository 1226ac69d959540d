"""The library: damaged entries, names, and folders that are whole or not there."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dbtui.core import paths
from dbtui.core.errors import DbtuiError, UsageError
from dbtui.core.library import (
    Concept,
    concepts,
    exists,
    find_concept,
    find_sound_concept,
    remove_folder,
    rename_concept,
)
from dbtui.core.run import Run


@pytest.fixture
def keep() -> Callable[..., Concept]:
    """``keep("rex")`` puts a sound concept into the library."""

    def make(name: str, **values: object) -> Concept:
        concept = Concept(name=name, **{"prompt": f"a photo of {name}", "trained": {"unet": "0" * 64}, **values})
        paths.make_private(concept.weights("unet").parent)
        concept.weights("unet").write_bytes(b"weights")
        (concept.path / "concept.toml").write_text(concept.to_toml(), encoding="utf-8")
        return concept

    return make


def test_a_library_that_was_never_written_is_empty() -> None:
    assert concepts() == []
    with pytest.raises(UsageError, match="no concept"):
        find_concept("rex")


def test_a_concept_comes_back_as_it_was_kept(keep: Callable) -> None:
    concept = keep("rex", prompt='a "sks"\n犬', steps=500, learning_rate=5e-6, seed=2**62, resolution=512, created=1.5)
    assert concepts() == [find_sound_concept("rex")] == [concept]
    assert concept.size() > len(b"weights")


def test_a_learning_rate_written_as_a_whole_number_is_read(keep: Callable) -> None:
    concept = keep("rex", created=0.0)
    file = concept.path / "concept.toml"
    file.write_text(file.read_text().replace("created = 0.0", "created = 0"))
    assert find_sound_concept("rex").created == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"[[[", b"\xff\xfe", b"version = 99\n", b"version = 1\n", b"version = 1\nmood = 'good'\n",
     b"version = 1\nname = 'other'\n", b"version = 1\ntrained = 5\n", b"version = 1\ntrained = [1]\n",
     b"version = 1\nsteps = 'many'\ntrained = {unet = ''}\n", b"version = 1\ntrained = {vae = ''}\n",
     b"x = " + b"[" * 5000],
)  # fmt: skip
def test_a_broken_entry_is_shown_and_hides_no_other(content: bytes, keep: Callable) -> None:
    for name in ("alf", "rex", "zoe"):
        keep(name)
    (paths.concepts_dir() / "rex" / "concept.toml").write_bytes(content)
    assert [(c.name, bool(c.problem)) for c in concepts()] == [("alf", False), ("rex", True), ("zoe", False)]
    with pytest.raises(DbtuiError, match="damaged") as caught:
        find_sound_concept("rex")
    assert "dbtui rm rex" in caught.value.hint


def test_an_entry_without_its_files_is_shown_as_broken(keep: Callable) -> None:
    keep("rex").weights("unet").unlink()
    (paths.concepts_dir() / "tom").mkdir()
    problems = {c.name: c.problem for c in concepts()}
    assert "unet" in problems["rex"]
    assert "concept.toml" in problems["tom"]


def test_a_broken_entry_can_be_renamed_and_removed(keep: Callable) -> None:
    concept = keep("rex")
    (concept.path / "concept.toml").write_text("[[[")
    renamed = rename_concept("rex", "max")
    assert renamed.problem
    remove_folder(renamed.path)
    assert concepts() == []


def test_hidden_folders_and_stray_files_are_not_concepts(keep: Callable) -> None:
    keep("rex")
    (paths.concepts_dir() / ".rex.removed-1").mkdir()
    (paths.concepts_dir() / "notes.txt").write_text("x")
    assert [c.name for c in concepts()] == ["rex"]


def test_a_misspelt_name_is_refused_with_the_nearest(keep: Callable) -> None:
    keep("teddy-bear")
    with pytest.raises(UsageError) as caught:
        find_concept("tedy-bear")
    assert "'teddy-bear'" in caught.value.hint


@pytest.mark.parametrize("word", ["", ".", "..", "../concepts/rex", "/", "\x1b[2J", "x" * 5000])
def test_a_word_that_is_no_name_finds_nothing(word: str, keep: Callable) -> None:
    keep("rex")
    with pytest.raises(UsageError) as caught:
        find_concept(word)
    assert "\x1b" not in str(caught.value)


def test_a_name_is_found_as_a_person_writes_it(keep: Callable) -> None:
    keep("my-dog")
    assert find_concept("My Dog").name == "my-dog"


def test_a_renamed_concept_keeps_everything_but_its_name(keep: Callable) -> None:
    before = keep("rex", steps=7)
    after = rename_concept("rex", "Max 2")
    assert (after.name, after.steps, after.prompt, after.problem) == ("max-2", 7, before.prompt, "")
    assert after.weights("unet").read_bytes() == b"weights"
    assert not exists("rex")


def test_a_rename_to_a_taken_name_changes_nothing(keep: Callable) -> None:
    keep("rex", steps=1)
    keep("max", steps=2)
    with pytest.raises(UsageError, match="taken"):
        rename_concept("rex", "max")
    assert {c.name: c.steps for c in concepts()} == {"rex": 1, "max": 2}


@pytest.mark.parametrize("new", ["../max", "a/b", "", "."])
def test_a_rename_to_what_is_no_name_changes_nothing(new: str, keep: Callable) -> None:
    keep("rex")
    with pytest.raises(UsageError):
        rename_concept("rex", new)
    assert [c.name for c in concepts()] == ["rex"]


def test_removing_a_concept_leaves_the_others(keep: Callable) -> None:
    concept = keep("rex")
    keep("max")
    remove_folder(concept.path)
    assert [p.name for p in paths.concepts_dir().iterdir()] == ["max"]


def test_a_run_can_be_removed(new_run: Callable[..., Run]) -> None:
    run = new_run("rex")
    remove_folder(run.path)
    assert list(paths.runs_dir().iterdir()) == []


def test_nothing_outside_the_library_can_be_removed(keep: Callable, photos: Path) -> None:
    concept = keep("rex")
    (photos / "a.jpg").write_bytes(b"x")
    outside = [photos, paths.concepts_dir(), paths.data_dir(), concept.path / "unet", paths.concepts_dir() / ".."]
    for folder in outside:
        with pytest.raises(ValueError, match="not in the library"):
            remove_folder(folder)
    assert (photos / "a.jpg").exists() and find_sound_concept("rex")


def test_a_whole_folder_appears_at_once_and_private(home: Path) -> None:
    destination = home / "concepts" / "rex"
    with paths.whole_folder(destination) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
        assert not destination.exists() and concepts() == []
    assert (destination / "sub" / "file").read_text() == "x"
    assert stat.S_IMODE(destination.stat().st_mode) == stat.S_IMODE(home.stat().st_mode) == 0o700
    assert [p.name for p in destination.parent.iterdir()] == ["rex"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_whole_folder_leaves_nothing_on_an_error(error: BaseException, home: Path) -> None:
    with pytest.raises(type(error)), paths.whole_folder(home / "concepts" / "rex") as folder:
        (folder / "file").write_text("x")
        raise error
    assert list((home / "concepts").iterdir()) == []


def test_a_whole_folder_does_not_replace_what_took_its_place(home: Path) -> None:
    destination = home / "concepts" / "rex"
    with pytest.raises(FileExistsError), paths.whole_folder(destination) as folder:
        (folder / "file").write_text("mine")
        destination.mkdir()
        (destination / "file").write_text("theirs")
    assert (destination / "file").read_text() == "theirs"
    assert [p.name for p in destination.parent.iterdir()] == ["rex"]


def test_an_atomic_write_leaves_no_temporary_file_on_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        paths.write_atomic(tmp_path / "taken", "x")
    paths.write_atomic(tmp_path / "file", "old")
    paths.write_atomic(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken"]


def test_pictures_go_along_with_a_rename_but_not_into_those_of_another(keep: Callable) -> None:
    keep("rex")
    grid = paths.make_private(paths.pictures_dir() / "rex" / "20250615-150000")
    (grid / "000.png").write_bytes(b"mine")
    rename_concept("rex", "max")
    assert (paths.pictures_dir() / "max" / grid.name / "000.png").read_bytes() == b"mine" and not grid.exists()
    paths.make_private(paths.pictures_dir() / "rex")
    rename_concept("max", "rex")
    assert list((paths.pictures_dir() / "rex").iterdir()) == []
