"""Photos become latents once, by content, and never wrongly from the cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from dbtui.core import paths
from dbtui.core.config import DataConfig
from dbtui.core.dataset import open_picture, square
from dbtui.core.errors import DbtuiError
from dbtui.core.subjects import SUBJECTS
from dbtui.core.weights import sha256
from dbtui.engine.latents import CROPS, Latents, Source, encode_pictures
from dbtui.engine.models import Models


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "photos"
    shutil.copytree(SUBJECTS["teddy-bear"].folder, folder)
    return sorted(folder.iterdir())[:2]


@pytest.fixture
def encode(mini: Models) -> Callable[..., Latents]:
    def of_files(files: list[Path], resolution: int = 64, data: DataConfig | None = None) -> Latents:
        sources = [Source(file, sha256(file)) for file in files]
        return encode_pictures(mini, sources, resolution, data or DataConfig(), lambda done, total: None)

    return of_files


def cache() -> list[Path]:
    return sorted((paths.cache_dir() / "latents").iterdir())


def cache_is_empty() -> bool:
    return not (paths.cache_dir() / "latents").exists()


def same(one: Latents, other: Latents) -> bool:
    return torch.equal(one.mean, other.mean) and torch.equal(one.deviation, other.deviation)


@torch.no_grad()
def by_hand(models: Models, image: Image.Image, resolution: int) -> tuple[torch.Tensor, torch.Tensor]:
    data = torch.tensor(list(square(image, resolution).tobytes()), dtype=torch.float32)
    pixels = data.view(1, resolution, resolution, 3).permute(0, 3, 1, 2) / 127.5 - 1
    posterior = models.vae.encode(pixels).latent_dist
    return posterior.mean, posterior.std


def test_entries_are_bit_equal_to_a_fresh_encoding(
    encode: Callable, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encode(photos)
    cached = encode(photos)
    monkeypatch.setenv("DBTUI_HOME", str(tmp_path / "another-home"))
    assert cache_is_empty()
    fresh = encode(photos[::-1])
    assert same(cached, first)
    assert torch.equal(cached.mean, fresh.mean.flip(0)) and torch.equal(cached.deviation, fresh.deviation.flip(0))


def test_entries_are_what_the_vae_says(mini: Models, encode: Callable, photos: list[Path]) -> None:
    latents = encode(photos)
    for index, photo in enumerate(photos):
        mean, deviation = by_hand(mini, open_picture(photo), 64)
        torch.testing.assert_close(latents.mean[index : index + 1], mean, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(latents.deviation[index : index + 1], deviation, atol=1e-4, rtol=1e-4)
    assert latents.names == tuple(photo.name for photo in photos)


def test_a_photo_is_encoded_once_whatever_its_name(encode: Callable, photos: list[Path]) -> None:
    first = encode(photos)
    entries = {file: file.stat().st_ino for file in cache()}
    renamed = photos[0].rename(photos[0].with_name("other.jpg"))
    assert same(encode([renamed, photos[1]]), first)
    assert {file: file.stat().st_ino for file in cache()} == entries


def test_size_crop_and_mirror_have_entries_of_their_own(encode: Callable, photos: list[Path]) -> None:
    encode(photos[:1])
    encode(photos[:1], 128)
    encode(photos[:1], data=DataConfig(flip=True))
    encode(photos[:1], data=DataConfig(center_crop=False))
    assert len(cache()) == 4


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def fill_with_garbage(file: Path) -> None:
    file.write_bytes(b"\xff" * 5000)


def put_not_a_number(file: Path) -> None:
    entry = load_file(file)
    entry["mean"][0, 0, 0, 0] = torch.nan
    save_file(entry, file)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def shrink(file: Path) -> None:
    save_file({key: value[:, :, :1].clone() for key, value in load_file(file).items()}, file)


@pytest.mark.parametrize("damage", [cut_short, fill_with_garbage, put_not_a_number, empty, shrink])
def test_a_damaged_entry_is_made_again(encode: Callable, photos: list[Path], damage: Callable[[Path], None]) -> None:
    first = encode(photos[:1])
    (entry,) = cache()
    whole = entry.read_bytes()
    damage(entry)
    assert same(encode(photos[:1]), first)
    assert entry.read_bytes() == whole


def test_one_wrong_bit_anywhere_in_an_entry_is_noticed(encode: Callable, photos: list[Path]) -> None:
    first = encode(photos[:1])
    (entry,) = cache()
    whole = entry.read_bytes()
    for bit in range(3, 8 * len(whole), 8 * len(whole) // 60):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        entry.write_bytes(flipped)
        assert same(encode(photos[:1]), first)
        assert entry.read_bytes() == whole, f"bit {bit}"


def test_an_entry_of_another_photo_is_not_taken_for_this_one(encode: Callable, photos: list[Path]) -> None:
    encode(photos[:1])
    (mine,) = cache()
    other = encode(photos[1:])
    (others,) = set(cache()) - {mine}
    shutil.copy(mine, others)
    assert same(encode(photos[1:]), other)


def test_reading_an_entry_is_its_last_use(encode: Callable, photos: list[Path]) -> None:
    encode(photos[:1])
    (entry,) = cache()
    os.utime(entry, (1, 1))
    encode(photos[:1])
    assert entry.stat().st_mtime > 1e9


def test_a_photo_that_changed_is_refused_by_name(mini: Models, photos: list[Path]) -> None:
    chosen = [Source(photo, sha256(photo)) for photo in photos]
    Image.new("RGB", (80, 80), "red").save(photos[1])
    with pytest.raises(DbtuiError, match=rf"{photos[1].name} has changed"):
        encode_pictures(mini, chosen, 64, DataConfig(), lambda done, total: None)


def test_a_photo_that_is_gone_is_refused_by_name(mini: Models, photos: list[Path]) -> None:
    chosen = [Source(photo, sha256(photo)) for photo in photos]
    photos[0].unlink()
    with pytest.raises(DbtuiError, match=rf"{photos[0].name} is gone"):
        encode_pictures(mini, chosen, 64, DataConfig(), lambda done, total: None)


def test_crops_and_mirrored_pictures_are_views_of_one_photo(mini: Models, encode: Callable, tmp_path: Path) -> None:
    wide, squared = tmp_path / "1-wide.png", tmp_path / "2-square.png"
    gradient = Image.linear_gradient("L").rotate(90).convert("RGB")
    gradient.resize((200, 100)).save(wide)
    gradient.resize((100, 100)).save(squared)
    latents = encode([wide, squared], data=DataConfig(center_crop=False, flip=True))
    count = 2 * len(CROPS)
    assert latents.views == (tuple(range(count)), (count, count + 1))
    assert (
        latents.mean.shape
        == latents.deviation.shape
        == (count + 2, 4, 64 // mini.latent_factor, 64 // mini.latent_factor)
    )
    middle = CROPS.index(0.5)
    image = open_picture(wide)
    torch.testing.assert_close(latents.mean[middle : middle + 1], by_hand(mini, image, 64)[0], atol=1e-4, rtol=1e-4)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    torch.testing.assert_close(
        latents.mean[len(CROPS) + middle : len(CROPS) + middle + 1],
        by_hand(mini, mirrored, 64)[0],
        atol=1e-4,
        rtol=1e-4,
    )
    assert not torch.equal(latents.mean[0], latents.mean[len(CROPS) - 1])


def test_without_crops_and_mirror_a_photo_has_one_view(encode: Callable, photos: list[Path]) -> None:
    assert encode(photos).views == ((0,), (1,))
