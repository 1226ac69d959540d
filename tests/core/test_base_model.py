"""Base models on disk: what is refused, by which words, before anything is loaded."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dbtui.core import paths
from dbtui.core.base_model import find_model
from dbtui.core.errors import DbtuiError, UsageError
from dbtui.core.weights import read_header, remembered_sha256, sha256

UNET = "unet/diffusion_pytorch_model.safetensors"


def write_safetensors(path: Path, header: dict | bytes, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def tensor(start: int, stop: int, shape: list, dtype: object = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_the_embedded_model_is_whole() -> None:
    model = find_model("mini")
    assert (model.resolution, model.prediction, model.has_safety_checker) == (128, "epsilon", False)
    assert model.parameters["unet"] > 10_000_000
    assert set(model.weights) == set(model.parameters) == {"unet", "vae", "text_encoder"}


def test_a_copy_is_the_same_model_and_a_changed_one_is_not(hollow_model: Path) -> None:
    first = find_model(str(hollow_model))
    second = find_model(shutil.copytree(hollow_model, hollow_model.with_name("second")).as_posix())
    assert first.fingerprint() == second.fingerprint()
    data = bytearray((hollow_model / UNET).read_bytes())
    data[-1] ^= 1
    (hollow_model / UNET).write_bytes(data)
    changed = find_model(str(hollow_model))
    assert changed.fingerprint() != second.fingerprint()
    assert changed.fingerprint("vae") == second.fingerprint("vae")


@pytest.mark.parametrize("cut", [1, 1_000, 1_050, 1_063])
def test_weights_that_were_cut_short_are_refused_by_name(cut: int, hollow_model: Path) -> None:
    os.truncate(hollow_model / UNET, (hollow_model / UNET).stat().st_size - cut)
    with pytest.raises(DbtuiError, match="cut short") as caught:
        find_model(str(hollow_model))
    assert UNET in caught.value.message


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 50_000_000])
def test_an_absurd_header_length_is_refused_without_allocating_it(length: int, hollow_model: Path) -> None:
    with (hollow_model / UNET).open("rb+") as file:
        file.write(struct.pack("<Q", length))
    with pytest.raises(DbtuiError, match="longer than the file"):
        find_model(str(hollow_model))


@pytest.mark.parametrize(
    "header,size",
    [({"a": tensor(0, 8, [2]), "b": tensor(0, 8, [2])}, 8),
     ({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, 12),
     ({"a": tensor(0, 8, [2]), "b": tensor(12, 20, [2])}, 20),
     ({"a": tensor(4, 12, [2])}, 12),
     ({"a": tensor(0, 8, [3])}, 8),
     ({"a": tensor(0, 8, [2])}, 7),
     ({"a": tensor(0, 8, [2])}, 9),
     ({"a": tensor(8, 0, [-2])}, 8),
     ({"a": tensor(0, 8, [2], "F33")}, 8),
     ({"a": {"dtype": "F32", "shape": [2]}}, 8),
     ({"a": tensor(0, 4, [True])}, 4),
     ({"a": tensor(0, 4, [1.0])}, 4),
     ({"a": tensor(0, 8, ["2"])}, 8),
     ({"a": tensor(0, 0, [2**63, 2**63, 0])}, 0),
     ({"a": tensor(0, 0, [0] * 1_000_000)}, 0),
     ({"a": tensor(0, 2**62, [2**60])}, 8),
     ({"a": tensor(0, 8, [2], ["F32"])}, 8),
     (b'{"a":%(t)s,"a":%(t)s}' % {b"t": json.dumps(tensor(0, 8, [2])).encode()}, 8),
     (b'{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}', 8),
     (b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,8]}}' % (b"9" * 5_000), 8),
     (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 0),
     (json.dumps({"a": tensor(0, 8, [2])}).encode("utf-16"), 8),
     (b'{"\xff":1}', 0), (b'{"a":NaN}', 0),
     ({"a": 3}, 0), (b"[]", 0), (b"{", 0), (b"\xff", 0), (b"[" * 10_000, 0)],
)  # fmt: skip
def test_a_header_that_cannot_be_true_is_refused(header: dict | bytes, size: int, tmp_path: Path) -> None:
    with pytest.raises(DbtuiError, match="damaged") as caught:
        read_header(write_safetensors(tmp_path / "w.safetensors", header, bytes(size)))
    foreign = ("codec", "Expecting", "unpack", "Exceeds the limit")  # of Python's own errors
    assert not any(word in caught.value.message for word in foreign)


@pytest.mark.parametrize("content,words", [(b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
                                           (b"<!DOCTYPE html><html>", "web page")])  # fmt: skip
def test_what_often_lies_in_the_place_of_weights_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(DbtuiError, match="damaged") as caught:
        read_header(tmp_path / "w.safetensors")
    assert words in caught.value.message


def test_a_name_in_a_header_cannot_add_lines_to_what_is_said_of_it(tmp_path: Path) -> None:
    header = {"w\x1b[2J\nAll is well.": tensor(0, 8, [2], "F33")}
    with pytest.raises(DbtuiError) as caught:
        read_header(write_safetensors(tmp_path / "w.safetensors", header, bytes(8)))
    assert "\n" not in caught.value.message and "\x1b" not in caught.value.message


@pytest.mark.parametrize("content", [b"", b"\0\0\0"])
def test_a_file_without_a_header_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(DbtuiError, match="damaged"):
        read_header(tmp_path / "w.safetensors")


def test_a_true_header_is_read_in_any_order_and_with_empty_tensors(tmp_path: Path) -> None:
    header = {
        "b": tensor(8, 10, [1], "F16"), "none": tensor(8, 8, [0, 4]),
        "a": tensor(0, 8, [2]), "scalar": tensor(10, 14, []), "__metadata__": {"format": "pt"},
    }  # fmt: skip
    found = read_header(write_safetensors(tmp_path / "w.safetensors", header, bytes(14)))
    assert found == {"a": ("F32", (2,)), "b": ("F16", (1,)), "none": ("F32", (0, 4)), "scalar": ("F32", ())}


def test_the_hash_of_a_changed_file_is_not_the_remembered_one(tmp_path: Path) -> None:
    file = tmp_path / "w"
    file.write_bytes(b"one")
    assert remembered_sha256(file) == remembered_sha256(file) == sha256(file)
    file.write_bytes(b"three")
    assert remembered_sha256(file) == sha256(file)
    for memory in (paths.cache_dir() / "hashes").iterdir():
        memory.write_text("damaged")
    assert remembered_sha256(file) == sha256(file)


@pytest.mark.parametrize("missing", ["model_index.json", "unet/config.json", "vae/config.json",
                                     "scheduler/scheduler_config.json"])  # fmt: skip
def test_a_missing_file_is_named(missing: str, hollow_model: Path) -> None:
    (hollow_model / missing).unlink()
    with pytest.raises(DbtuiError) as caught:
        find_model(str(hollow_model))
    assert missing in caught.value.message


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_missing_part_is_named(part: str, hollow_model: Path) -> None:
    shutil.rmtree(hollow_model / part)
    with pytest.raises(DbtuiError) as caught:
        find_model(str(hollow_model))
    assert f"/{part} " in caught.value.message


def test_weights_in_a_format_that_can_run_code_are_refused(hollow_model: Path) -> None:
    (hollow_model / UNET).rename(hollow_model / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(DbtuiError, match="weights are missing") as caught:
        find_model(str(hollow_model))
    assert "diffusion_pytorch_model.bin" in caught.value.message
    assert "can run code" in caught.value.hint


def test_a_link_to_weights_that_are_gone_is_called_that(hollow_model: Path) -> None:
    (hollow_model / UNET).unlink()
    (hollow_model / UNET).symlink_to(hollow_model / "gone")
    with pytest.raises(DbtuiError, match="leads nowhere"):
        find_model(str(hollow_model))


def test_weights_of_a_variant_are_found(hollow_model: Path) -> None:
    (hollow_model / UNET).rename(hollow_model / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    model = find_model(str(hollow_model))
    assert [model.weights[part].name for part in ("unet", "vae")] == [
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.safetensors",
    ]


@pytest.mark.parametrize(
    "pipeline,words",
    [("StableDiffusionXLPipeline", "Stable Diffusion XL"), ("StableDiffusionInpaintPipeline", "inpainting"),
     ("FluxPipeline", "FLUX.1"), ("Strange\x1bPipeline", r"Strange\x1bPipeline"), ("", "unknown")],
)  # fmt: skip
def test_another_family_is_refused_by_its_name(
    pipeline: str, words: str, hollow_model: Path, edit_json: Callable[..., None]
) -> None:
    edit_json(hollow_model / "model_index.json", _class_name=pipeline)
    with pytest.raises(DbtuiError, match="not supported") as caught:
        find_model(str(hollow_model))
    assert words in caught.value.message


@pytest.mark.parametrize(
    "entry",
    [["pipeline", "MyUNet"], ["diffusers", "UNet3DConditionModel"], ["diffusers", []], ["diffusers"], None, "x"],
)
def test_a_part_of_another_kind_is_refused_and_its_code_not_run(
    entry: object, hollow_model: Path, edit_json: Callable[..., None]
) -> None:
    marker = hollow_model / "ran"
    (hollow_model / "unet" / "pipeline.py").write_text(f"open({str(marker)!r}, 'w')")
    edit_json(hollow_model / "model_index.json", unet=entry)
    with pytest.raises(DbtuiError, match="Its unet is"):
        find_model(str(hollow_model))
    assert not marker.exists()


@pytest.mark.parametrize("file", ["unet/config.json", "text_encoder/config.json", "tokenizer/tokenizer_config.json"])
def test_a_part_that_asks_for_code_in_the_folder_is_refused_and_it_is_not_run(
    file: str, hollow_model: Path, edit_json: Callable[..., None]
) -> None:
    marker = hollow_model / "ran"
    (hollow_model / file).with_name("evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    edit_json(hollow_model / file, auto_map={"AutoModel": "evil.Evil"}, trust_remote_code=True)
    with pytest.raises(DbtuiError, match="never run"):
        find_model(str(hollow_model))
    assert not marker.exists()


@pytest.mark.parametrize("part", ["tokenizer", "scheduler", "prior"])
def test_any_part_whose_class_is_in_the_folder_is_refused(
    part: str, hollow_model: Path, edit_json: Callable[..., None]
) -> None:
    edit_json(hollow_model / "model_index.json", **{part: ["evil", "Evil"]})
    with pytest.raises(DbtuiError, match=f"Its {part} is .*never run"):
        find_model(str(hollow_model))


@pytest.mark.parametrize("target", ["nowhere", "tokenizer_config.json"])
def test_a_link_that_leads_nowhere_is_named(target: str, hollow_model: Path) -> None:
    file = hollow_model / "tokenizer" / "tokenizer_config.json"
    file.unlink()
    file.symlink_to(target)
    with pytest.raises(DbtuiError, match="damaged") as caught:
        find_model(str(hollow_model))
    assert "tokenizer_config.json" in caught.value.message


def test_a_file_name_cannot_add_lines_to_what_is_said_of_it(hollow_model: Path) -> None:
    (hollow_model / UNET).rename(hollow_model / "unet" / "x\nAll is well.bin")
    with pytest.raises(DbtuiError, match="weights are missing") as caught:
        find_model(str(hollow_model))
    assert r"x\nAll is well.bin" in caught.value.message


def test_an_inpainting_unet_is_refused_by_its_channels(hollow_model: Path, edit_json: Callable[..., None]) -> None:
    edit_json(hollow_model / "unet" / "config.json", in_channels=9)
    with pytest.raises(DbtuiError, match="9 channels"):
        find_model(str(hollow_model))


@pytest.mark.parametrize(
    "part,changes",
    [("unet", {"sample_size": None}), ("unet", {"sample_size": [64, 64]}), ("unet", {"sample_size": -64}),
     ("unet", {"block_out_channels": 3}), ("unet", {"block_out_channels": []}),
     ("unet", {"block_out_channels": [10**9] * 4}), ("unet", {"block_out_channels": [32] * 100_000}),
     ("unet", {"block_out_channels": "abcd"}), ("unet", {"layers_per_block": 10**6}), ("unet", {"attention_head_dim": 0}),
     ("unet", {"norm_num_groups": 0}), ("unet", {"norm_num_groups": 7}), ("unet", {"down_block_types": ["Evil"] * 3}),
     ("vae", {"latent_channels": 16}), ("vae", {"scaling_factor": float("nan")}), ("vae", {"layers_per_block": 10**6}),
     ("text_encoder", {"num_hidden_layers": 10**7}), ("text_encoder", {"vocab_size": 10**12}),
     ("text_encoder", {"num_attention_heads": 5}), ("text_encoder", {"hidden_act": "evil"}),
     ("unet", {"norm_eps": "x"}), ("unet", {"downsample_padding": 7}), ("unet", {"mid_block_scale_factor": 0}),
     ("scheduler", {"num_train_timesteps": 10**9}), ("scheduler", {"beta_schedule": "evil"}),
     ("scheduler", {"trained_betas": [1] * 10}), ("scheduler", {"timestep_spacing": "evil"}),
     ("scheduler", {"steps_offset": -5})],
)  # fmt: skip
def test_a_config_that_makes_no_sense_is_refused_with_the_value(
    part: str, changes: dict, hollow_model: Path, edit_json: Callable[..., None]
) -> None:
    edit_json(hollow_model / part / ("scheduler_config.json" if part == "scheduler" else "config.json"), **changes)
    with pytest.raises(DbtuiError, match="damaged") as caught:
        find_model(str(hollow_model))
    assert f"config of its {part}" in caught.value.message and len(caught.value.message) < 400


@pytest.mark.parametrize(
    "changes", [{"class_embed_type": "projection"}, {"encoder_hid_dim": 10**9}, {"conv_in_kernel": 10**6}]
)
def test_a_unet_with_parts_of_another_model_is_refused(
    changes: dict, hollow_model: Path, edit_json: Callable[..., None]
) -> None:
    edit_json(hollow_model / "unet" / "config.json", **changes)
    with pytest.raises(DbtuiError, match="not supported") as caught:
        find_model(str(hollow_model))
    assert next(iter(changes)) in caught.value.message


@pytest.mark.parametrize("name", ["unet/config.json", "tokenizer/tokenizer.json"])
@pytest.mark.parametrize("what", ["pipe", "folder", "endless"])
def test_what_would_be_read_without_end_is_not_read(name: str, what: str, hollow_model: Path) -> None:
    file = hollow_model / name
    file.unlink()
    {"pipe": os.mkfifo, "folder": os.mkdir, "endless": lambda path: os.symlink("/dev/zero", path)}[what](file)
    with pytest.raises(DbtuiError, match="no regular file"):
        find_model(str(hollow_model))


def test_a_model_without_a_tokenizer_is_refused_before_anything_is_loaded(hollow_model: Path) -> None:
    shutil.rmtree(hollow_model / "tokenizer")
    with pytest.raises(DbtuiError, match="tokenizer is missing"):
        find_model(str(hollow_model))


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"[" * 100_000, b" " * (2 << 20)])
def test_a_config_that_is_not_json_is_refused(content: bytes, hollow_model: Path) -> None:
    (hollow_model / "unet" / "config.json").write_bytes(content)
    with pytest.raises(DbtuiError, match=r"unet/config\.json"):
        find_model(str(hollow_model))


def test_what_the_model_predicts_is_read(hollow_model: Path, edit_json: Callable[..., None]) -> None:
    scheduler = hollow_model / "scheduler" / "scheduler_config.json"
    edit_json(scheduler, prediction_type="v_prediction")
    assert find_model(str(hollow_model)).prediction == "v_prediction"
    edit_json(scheduler, prediction_type="sample")
    with pytest.raises(DbtuiError, match="predicts sample"):
        find_model(str(hollow_model))


@pytest.mark.parametrize("checker,has", [(["stable_diffusion", "StableDiffusionSafetyChecker"], True), ([], False),
                                         ([None, None], False), (None, False)])  # fmt: skip
def test_a_safety_checker_is_noticed(
    checker: object, has: bool, hollow_model: Path, edit_json: Callable[..., None]
) -> None:
    edit_json(hollow_model / "model_index.json", safety_checker=checker)
    assert find_model(str(hollow_model)).has_safety_checker is has


def test_a_resolution_that_cannot_be_drawn_is_refused_with_the_nearest_that_can() -> None:
    model = find_model("mini")
    assert [model.check_resolution(n) for n in (64, 128, 144)] == [64, 128, 144]
    with pytest.raises(UsageError) as caught:
        model.check_resolution(130)
    assert "data.resolution" in caught.value.title and "Try 128" in caught.value.hint


@pytest.mark.parametrize("name", ["", "nowhere", "/nowhere/at/all", "~nobody-of-this-name/model", "a\x00b", "x" * 5000])
def test_a_name_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no model") as caught:
        find_model(name)
    assert "mini" in caught.value.hint


def test_a_model_in_the_hub_cache_is_found_by_its_id_and_none_is_downloaded(hollow_model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "hub"
    entry = cache / "models--some-one--small-model"
    (entry / "refs").mkdir(parents=True)
    (entry / "refs" / "main").write_text("a" * 40)
    shutil.move(hollow_model, entry / "snapshots" / ("a" * 40))
    code = (
        "from dbtui.core.base_model import find_model; from dbtui.core.errors import UsageError\n"
        "print(find_model('some-one/small-model').path)\n"
        "try: find_model('some-one/other')\n"
        "except UsageError as error: print(error.title, error.hint)"
    )
    environ = {**os.environ, "HF_HUB_CACHE": str(cache), "HF_ENDPOINT": "http://127.0.0.1:9"}
    found = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    path, refusal = found.stdout.splitlines()
    assert path == str(entry / "snapshots" / ("a" * 40))
    assert "not on this machine" in refusal and "--offline" in refusal
