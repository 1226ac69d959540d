"""Where an export may go, in which format, and what is never replaced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dbtui.core import export
from dbtui.core.base_model import find_model
from dbtui.core.errors import DbtuiError, UsageError
from dbtui.core.export import CARD, make_order
from dbtui.core.library import Concept

pytestmark = pytest.mark.filterwarnings("ignore:.*torch_dtype:FutureWarning")  # the name that all releases know


@pytest.fixture(autouse=True)
def rex(home: Path) -> Concept:
    """A concept that is enough to plan with: the weights are not looked at."""
    concept = Concept(name="rex", prompt="a photo of sks dog", base="mini", trained={"unet": "0" * 64})
    concept.weights("unet").parent.mkdir(parents=True)
    concept.weights("unet").write_bytes(b"weights")
    (concept.path / "concept.toml").write_text(concept.to_toml())
    return concept


@pytest.mark.parametrize(
    ("destination", "asked", "path", "format"),
    [
        ("rex", "", "rex", "diffusers"),
        ("rex.v2", "", "rex.v2", "diffusers"),
        ("rex.safetensors", "", "rex.safetensors", "safetensors"),
        ("rex.ckpt", "", "rex.ckpt", "ckpt"),
        ("rex.v2", "ckpt", "rex.v2.ckpt", "ckpt"),
        (".", "safetensors", "rex.safetensors", "safetensors"),
        ("REX.CKPT", "", "REX.ckpt", "ckpt"),
        ("rex.SafeTensors", "safetensors", "rex.safetensors", "safetensors"),
        ("./", "ckpt", "rex.ckpt", "ckpt"),
    ],
)
def test_format_and_name_are_told_by_the_destination(
    destination: str, asked: str, path: str, format: str, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    order, _ = make_order("rex", destination, asked)
    assert (order.path, order.format) == (shelf / path, format)


def test_the_size_follows_from_the_parameters_and_the_disk_must_have_it(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = sum(find_model("mini").parameters.values())
    _, full = make_order("rex", str(shelf / "rex"))
    _, half = make_order("rex", str(shelf / "rex"), half=True)
    assert 4 * weights < full < 4.5 * weights and half == pytest.approx(full / 2, abs=1)
    monkeypatch.setattr(export, "free_space", lambda folder: half)
    make_order("rex", str(shelf / "rex"), half=True)
    with pytest.raises(DbtuiError, match=r"takes 85.* MB and .* has 42.* MB free"):
        make_order("rex", str(shelf / "rex"))


def test_home_and_links_are_followed(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(shelf))
    assert make_order("rex", "~/rex")[0].path == shelf / "rex"
    (shelf / "real").mkdir()
    (shelf / "link").symlink_to("real")
    assert make_order("rex", str(shelf / "link" / "rex"))[0].path == shelf / "real" / "rex"
    (shelf / "round").symlink_to("round")
    with pytest.raises(UsageError):
        make_order("rex", str(shelf / "round" / "rex"))


@pytest.mark.parametrize(
    ("destination", "asked", "words"),
    [
        ("", "", "No destination"),
        ("rex.ckpt", "safetensors", "ends in .ckpt and the format is safetensors"),
        ("rex.safetensors", "diffusers", "ends in .safetensors and the format is diffusers"),
        ("rex.pt", "", "ends in .pt"),
        ("rex.GGUF", "", "ends in .GGUF"),
        ("rex\udcff.ckpt", "", "not UTF-8"),
        ("no/such/rex", "", "does not exist"),
        ("file/rex", "", "is not a folder"),
        ("file/deep/rex.ckpt", "", "does not exist"),
        ("n" * 240, "", "at most 230 bytes"),
        ("file", "", "is a file"),
        ("file.safetensors", "", "is not an export of dbtui"),
        ("file.ckpt", "", "is not an export of dbtui"),
        ("folder", "", "that dbtui did not make"),
        ("folder.ckpt", "", "is a folder"),
        ("{home}/rex", "", "is inside"),
        ("{home}/concepts/rex/rex.ckpt", "", "is inside"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_cannot_be_is_refused_and_nothing_is_touched(
    destination: str, asked: str, words: str, overwrite: bool, shelf: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    for name in ("file", "file.safetensors", "file.ckpt"):
        (shelf / name).write_bytes(b"PK\x03\x04 mine")
    for name in ("folder", "folder.ckpt/rex.ckpt"):
        (shelf / name).mkdir(parents=True)
        (shelf / name / "mine.txt").write_text("mine")
    before = sorted(shelf.rglob("*"))
    with pytest.raises(UsageError, match=words):
        make_order("rex", destination.format(home=home), asked, overwrite=overwrite)
    assert sorted(shelf.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is refused to root")
def test_a_folder_that_may_not_be_written_is_refused(shelf: Path) -> None:
    shelf.chmod(0o500)
    with pytest.raises(UsageError, match="not writable"):
        make_order("rex", str(shelf / "rex"))


def test_only_an_earlier_export_is_replaced_and_only_when_asked(exported: Callable, shelf: Path) -> None:
    for base, format, half in (("sd1", "diffusers", True), ("sd1", "safetensors", False), ("mini", "ckpt", True)):
        path = str(exported(base, format, half).path)
        with pytest.raises(UsageError, match="earlier export"):
            make_order("rex", path, format)
        assert make_order("rex", path, format, overwrite=True)[0].path == Path(path)


def test_an_export_with_a_stranger_in_it_is_not_replaced(shelf: Path) -> None:
    folder = shelf / "rex"
    (folder / "unet").mkdir(parents=True)
    assert make_order("rex", str(shelf / "rex"), overwrite=False, format="ckpt")
    (folder / CARD).write_text('{"files": ["dbtui.json", "unet/config.json"]}')
    (folder / "unet" / "config.json").write_text("{}")
    make_order("rex", str(folder), overwrite=True)
    (folder / "unet" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"unet/notes\.txt"):
        make_order("rex", str(folder), overwrite=True)


@pytest.mark.parametrize("format", ["diffusers", "safetensors"])
def test_an_export_that_a_concept_was_taught_on_is_not_replaced(
    format: str, rex: Concept, exported: Callable, shelf: Path
) -> None:
    source = exported("sd1", format, True).path
    base = shelf / f"base{source.suffix}"
    shutil.copytree(source, base) if source.is_dir() else shutil.copy(source, base)
    concept = replace(rex, base=str(base))
    (rex.path / "concept.toml").write_text(concept.to_toml())
    (shelf / "link").symlink_to(base)
    for place in (base, shelf / "link"):
        if place.suffix == base.suffix:
            with pytest.raises(UsageError, match=r"rex was taught on .* needs it") as caught:
                make_order("rex", str(place), format, overwrite=True)
            assert "base-2" in caught.value.hint
    (rex.path / "concept.toml").write_text(rex.to_toml())
    make_order("rex", str(base), format, overwrite=True)


def test_an_empty_folder_is_as_good_as_none(shelf: Path) -> None:
    assert make_order("rex", str(shelf))[0].path == shelf


def test_a_base_model_that_is_gone_is_named(rex: Concept, shelf: Path) -> None:
    toml = rex.path / "concept.toml"
    toml.write_text(toml.read_text().replace('"mini"', '"/gone/model"'))
    with pytest.raises(DbtuiError, match=r"'rex' is gone.*/gone/model") as caught:
        make_order("rex", str(shelf / "rex"))
    assert "Put the model back" in caught.value.hint


def test_a_pipe_is_neither_read_nor_replaced(rex: Concept, shelf: Path) -> None:
    os.mkfifo(shelf / "out.safetensors")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="no regular file"):
            make_order("rex", str(shelf / "out.safetensors"), overwrite=overwrite)


def test_nobody_has_a_home_of_that_name(rex: Concept) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        make_order("rex", "~nobody-of-this-name/out")
