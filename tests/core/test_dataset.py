"""A folder of photos becomes a report: what is used, what is not and why, what to look at."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageFilter

from dbtui.core import paths
from dbtui.core.dataset import Report, scan
from dbtui.core.errors import UsageError
from dbtui.core.subjects import SUBJECTS

Photo = Callable[..., Image.Image]


@pytest.fixture
def bears(photos: Path) -> Path:
    """A folder with five real photos."""
    shutil.copytree(paths.mini_dir() / "subjects" / "teddy-bear", photos, dirs_exist_ok=True)
    return photos


def reasons(report: Report) -> dict[str, str]:
    return {s.path.name: s.reason for s in report.skipped}


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=lambda s: s.name)
def test_good_photos_are_all_used_without_a_warning(subject: object) -> None:
    report = scan(subject.folder, 128)  # type: ignore[attr-defined]
    assert (len(report.pictures), report.skipped, report.warnings) == (5, (), ())


def test_a_picture_is_known_by_its_bytes_and_its_size_the_right_way_up(photos: Path, photo: Photo) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(1, (160, 120)).save(photos / "a.jpg", exif=exif)
    picture = scan(photos, 64).pictures[0]
    assert (picture.width, picture.height) == (120, 160)
    assert picture.sha256 == hashlib.sha256((photos / "a.jpg").read_bytes()).hexdigest()


def test_looking_changes_no_file(bears: Path) -> None:
    (bears / "bad.jpg").write_bytes(b"\xff\xd8\xff damaged")

    def everything() -> dict:
        return {p.name: (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns) for p in bears.iterdir()}

    before = everything()
    scan(bears, 512)
    assert everything() == before


def test_a_picture_smaller_than_the_resolution_is_warned_of_and_used(bears: Path, photo: Photo) -> None:
    photo(1, (300, 100)).save(bears / "small.png")
    report = scan(bears, 128)
    assert len(report.pictures) == 6
    assert [w for w in report.warnings if "smaller than 128" in w and w.startswith("small.png is 300 x 100")]
    assert not [w for w in scan(bears, 100).warnings if "smaller" in w]


def test_a_picture_of_three_pixels_is_skipped(bears: Path) -> None:
    Image.new("RGB", (3, 3)).save(bears / "dot.png")
    Image.new("RGB", (400, 3)).save(bears / "line.png")
    report = scan(bears, 128)
    assert len(report.pictures) == 5
    assert set(reasons(report)) == {"dot.png", "line.png"}
    assert "3 x 3" in reasons(report)["dot.png"]


def test_an_exact_copy_is_named_with_its_original(bears: Path) -> None:
    shutil.copy(bears / "2.jpg", bears / "copy.jpg")
    assert scan(bears, 128).warnings == ("copy.jpg is a copy of 2.jpg",)


@pytest.mark.parametrize("how", ["recompressed", "smaller", "brighter"])
def test_a_near_duplicate_is_named_with_its_original(how: str, bears: Path) -> None:
    with Image.open(bears / "2.jpg") as image:
        if how == "recompressed":
            image.save(bears / "again.jpg", quality=50)
        elif how == "smaller":
            image.resize((image.width * 3 // 4, image.height * 3 // 4)).save(bears / "again.png")
        else:
            ImageEnhance.Brightness(image).enhance(0.85).save(bears / "again.png")
    names = [w for w in scan(bears, 64).warnings if "nearly the same" in w]
    assert len(names) == 1
    assert names[0].startswith("again.") and names[0].endswith("2.jpg")


def test_a_blurred_photo_is_named_and_the_sharp_ones_are_not(bears: Path) -> None:
    with Image.open(bears / "3.jpg") as image:
        image.filter(ImageFilter.GaussianBlur(image.width / 50)).save(bears / "3.jpg")
    report = scan(bears, 128)
    assert [w for w in report.warnings if "blurred" in w] == ["3.jpg looks blurred"]
    assert max(report.pictures, key=lambda p: p.blur).path.name == "3.jpg"


def test_a_truncated_photo_among_good_ones_is_skipped(bears: Path) -> None:
    data = (bears / "1.jpg").read_bytes()
    (bears / "1.jpg").write_bytes(data[: len(data) // 2])
    report = scan(bears, 128)
    assert [p.path.name for p in report.pictures] == ["2.jpg", "3.jpg", "4.jpg", "5.jpg"]
    assert reasons(report)["1.jpg"].startswith("damaged")


def test_what_is_no_picture_is_skipped_with_its_reason(bears: Path) -> None:
    (bears / "notes.txt").write_text("a teddy bear")
    (bears / "fake.jpg").write_text("not a JPEG")
    (bears / "empty.png").write_bytes(b"")
    (bears / "broken.jpg").symlink_to(bears / "nowhere.jpg")
    (bears / "more").mkdir()
    os.mkfifo(bears / "pipe.jpg")
    report = scan(bears, 128)
    assert len(report.pictures) == 5
    found = reasons(report)
    assert found["notes.txt"] == found["fake.jpg"] == "not a picture of a known format"
    assert found["empty.png"] == "empty"
    assert found["broken.jpg"] == found["pipe.jpg"] == "not a regular file"
    assert "folder" in found["more"]


def test_photos_of_today_are_read_or_told_from_what_is_no_picture(photos: Path, photo: Photo) -> None:
    photo(1).save(photos / "a.avif")
    (photos / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    report = scan(photos, 64)
    assert [(p.path.name, p.width, p.height) for p in report.pictures] == [("a.avif", 160, 120)]
    assert "pillow-heif" in reasons(report)["phone.heic"] and "HEIC" in reasons(report)["phone.heic"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_a_large_picture_with_transparency_takes_no_more_memory_than_three(photos: Path) -> None:
    side = 3000
    Image.new("P", (side, side)).save(photos / "large.png", transparency=0)
    Image.new("RGBA", (side, side)).save(photos / "other.png")
    look = """
import re, sys
from pathlib import Path
from dbtui.core.dataset import examine
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
examine(Path(sys.argv[1]))
before = peak()
examine(Path(sys.argv[2]))
print(peak() - before)
"""
    usual = str(paths.mini_dir() / "subjects" / "robot" / "1.jpg")
    for name in ("large.png", "other.png"):
        command = [sys.executable, "-c", look, usual, str(photos / name)]
        took = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) * 1024
        assert took < 3 * 4 * side * side, name  # Pillow has four bytes for a pixel


def test_a_link_to_a_photo_is_used(photos: Path) -> None:
    for number in (1, 2, 3):
        (photos / f"{number}.jpg").symlink_to(paths.mini_dir() / "subjects" / "robot" / f"{number}.jpg")
    assert len(scan(photos, 128).pictures) == 3


def test_hidden_files_are_not_looked_at(bears: Path) -> None:
    (bears / ".DS_Store").write_bytes(b"x")
    assert scan(bears, 128).skipped == ()


def test_files_that_are_left_out_are_not_used(bears: Path) -> None:
    report = scan(bears, 128, exclude=["5.jpg", "1.jpg"])
    assert [p.path.name for p in report.pictures] == ["2.jpg", "3.jpg", "4.jpg"]
    assert report.excluded == ("1.jpg", "5.jpg")


def test_escape_sequences_in_file_names_reach_no_message(photos: Path, photo: Photo) -> None:
    name = "a\x1b[31m\x07\u202e\n.png"
    photo(1, (100, 80)).filter(ImageFilter.GaussianBlur(6)).save(photos / name, "PNG")
    shutil.copy(photos / name, photos / f"b{name}")
    report = scan(photos, 512)
    text = "|".join(report.warnings)
    assert all(words in text for words in ("is a copy of", "smaller than", "blurred"))
    for file in photos.iterdir():
        file.write_bytes(b"\x1b[31m")
    with pytest.raises(UsageError) as caught:
        scan(photos, 512)
    text += f"{caught.value.title}{caught.value.message}{caught.value.hint}"
    assert r"\x1b[31m" in text
    assert not set("\n\x1b\x07\u202e") & set(text)


def test_a_file_name_that_is_not_text_can_be_told(bears: Path) -> None:
    Path(os.fsdecode(os.fsencode(bears) + b"/\xff.jpg")).write_bytes((bears / "1.jpg").read_bytes())
    warnings = scan(bears, 128).warnings
    assert len(warnings) == 1
    warnings[0].encode()


@pytest.mark.parametrize("count,words", [(1, "only 1 picture;"), (2, "only 2 pictures;"), (3, ""), (5, "")])
def test_fewer_than_three_pictures_are_warned_of(count: int, words: str, bears: Path) -> None:
    report = scan(bears, 128, exclude=[f"{n}.jpg" for n in range(count + 1, 6)])
    assert len(report.pictures) == count
    assert [w.startswith(words) for w in report.warnings] == ([True] if words else [])


def test_a_folder_without_a_usable_picture_is_refused_with_each_reason(photos: Path) -> None:
    for number in range(7):
        (photos / f"{number}.txt").write_text("x")
    with pytest.raises(UsageError, match="no picture to learn from") as caught:
        scan(photos, 512)
    assert "7 files" in caught.value.message
    assert "0.txt: not a picture of a known format" in caught.value.message
    assert "and 2 more" in caught.value.message


def test_an_empty_folder_is_refused(photos: Path) -> None:
    with pytest.raises(UsageError, match="has no files"):
        scan(photos, 512)


def test_a_folder_of_which_everything_is_left_out_is_refused(bears: Path) -> None:
    with pytest.raises(UsageError, match="not left out"):
        scan(bears, 128, exclude=[p.name for p in bears.iterdir()])


def test_a_missing_folder_is_refused_by_its_name(photos: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no folder .*nowhere"):
        scan(photos / "nowhere", 512)


def test_a_file_instead_of_a_folder_is_refused(bears: Path) -> None:
    with pytest.raises(UsageError, match=r"1\.jpg is a file"):
        scan(bears / "1.jpg", 512)


def test_progress_goes_from_nothing_to_everything(bears: Path) -> None:
    calls: list[tuple[int, int]] = []
    scan(bears, 128, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(n, 5) for n in range(6)]
