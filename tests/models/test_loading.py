"""The two families from folders and single files: the same weights bit for bit, the same pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import FORMS, tiny_configs

from dbtui.core.base_model import find_model
from dbtui.core.errors import DbtuiError
from dbtui.core.model_folder import COMPONENTS
from dbtui.core.original import file_name

TinyFolder, TinyFile = Callable[[str], Path], Callable[..., Path]

FAMILIES = ("sd1", "sd2")


def weights(models: Any) -> dict[str, Any]:
    return {f"{part}.{k}": v for part in COMPONENTS for k, v in models.component(part).state_dict().items()}


def assert_equal(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    import torch

    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


def picture(models: Any, scheduler: str = "dpm++2m-karras") -> bytes:
    from dbtui.engine.sampler import Drawing, Settings, draw

    settings = Settings(resolution=64, steps=2, scheduler=scheduler)
    return next(draw(models, [Drawing("a photo of sks dog", 7)], settings)).tobytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_file_gives_the_weights_and_pictures_of_its_folder(
    family: str, tiny_folder: TinyFolder, tiny_file: TinyFile
) -> None:
    from dbtui.engine.models import load_models

    folder = find_model(str(tiny_folder(family)))
    wanted = load_models(folder)
    drawn = picture(wanted)
    for form in FORMS:
        file = find_model(str(tiny_file(family, form)))
        models = load_models(file)
        assert_equal(weights(models), weights(wanted))
        assert file.parameters == folder.parameters == {p: sum(t.numel() for t in models.component(p).parameters()) for p in COMPONENTS}  # fmt: skip
        assert models.token_ids(["a photo"]).tolist() == wanted.token_ids(["a photo"]).tolist()
        assert picture(models) == drawn


@pytest.mark.parametrize("family", FAMILIES)
def test_what_diffusers_reads_out_of_the_original_layout_is_what_was_put_in(
    family: str, tiny_folder: TinyFolder, tiny_file: TinyFile
) -> None:
    """The layout, checked by a reader that is not this program's."""
    from diffusers import StableDiffusionPipeline

    from dbtui.engine.models import load_models

    pipe = StableDiffusionPipeline.from_single_file(
        str(tiny_file(family)), config=str(tiny_folder(family)), local_files_only=True
    )
    wanted = weights(load_models(find_model(str(tiny_folder(family)))))
    assert_equal({f"{part}.{k}": v for part in COMPONENTS for k, v in getattr(pipe, part).state_dict().items()}, wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_from_a_folder_are_those_of_the_library_that_defines_it(family: str, tiny_folder: TinyFolder) -> None:
    """Token padding, the penultimate layer, attention heads and velocity, beside diffusers' own loader."""
    import torch
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    from dbtui.engine.models import load_models

    pipe = StableDiffusionPipeline.from_pretrained(tiny_folder(family), local_files_only=True)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    images = pipe(
        "a photo of sks dog", num_inference_steps=2, height=64, width=64, generator=torch.Generator().manual_seed(7)
    ).images
    ours = np.frombuffer(picture(load_models(find_model(str(tiny_folder(family))))), np.uint8).astype(int)
    # Where weights begin in memory moves the last bit of a sum.
    assert np.abs(ours - np.asarray(images[0]).reshape(-1)).max() <= 2


@pytest.mark.parametrize("scheduler", ["dpm++2m-karras", "unipc", "euler", "euler-a", "ddim", "pndm"])
def test_every_scheduler_hears_what_is_predicted(scheduler: str, tiny_file: TinyFile) -> None:
    from dbtui.engine.models import load_models
    from dbtui.engine.sampler import Settings, _pipeline

    for prediction in ("epsilon", "v_prediction"):
        models = load_models(find_model(str(tiny_file("sd2")), prediction=prediction))
        pipe = _pipeline(models, Settings(resolution=64, scheduler=scheduler), None)
        assert pipe.scheduler.config.prediction_type == prediction


def test_names_of_earlier_releases_are_read(tiny_folder: TinyFolder, tmp_path: Path) -> None:
    """A VAE folder with the attention names of 2022, a text encoder without its prefix, a file without text_model
    and with the VAE's attention called as diffusers does."""
    import shutil

    from safetensors.torch import load_file, save_file

    from dbtui.engine.models import load_models
    from dbtui.engine.original import to_original

    folder = Path(shutil.copytree(tiny_folder("sd1"), tmp_path / "early"))
    wanted = weights(load_models(find_model(str(folder))))
    early = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    renamed = {}
    for name, tensor in load_file(vae).items():
        for today, then in early.items():
            name = name.replace(f".{today}.", f".{then}.")
        renamed[name] = tensor
    assert sum(".query." in name for name in renamed) == 4
    save_file(renamed, vae)
    text = folder / "text_encoder" / "model.safetensors"
    save_file({name.removeprefix("text_model."): tensor for name, tensor in load_file(text).items()}, text)
    assert_equal(weights(load_models(find_model(str(folder)))), wanted)
    parts = {part: load_file(next((folder / part).glob("*.safetensors"))) for part in COMPONENTS}
    original = to_original(parts, tiny_configs("sd1"))
    bare = {name.replace(".transformer.text_model.", ".transformer."): t.contiguous() for name, t in original.items()}
    for then, today in (("q", "to_q"), ("k", "to_k"), ("v", "value"), ("proj_out", "to_out.0")):
        bare = {name.replace(f".attn_1.{then}.", f".attn_1.{today}."): tensor for name, tensor in bare.items()}
    save_file(bare, tmp_path / "bare.safetensors")
    assert_equal(weights(load_models(find_model(str(tmp_path / "bare.safetensors")))), wanted)


def test_every_name_of_a_file_has_its_own_place() -> None:
    from dbtui.core.original import places
    from dbtui.engine.models import empty_module

    for family in FAMILIES:
        seen: set[object] = set()
        for part, config in tiny_configs(family).items():
            if part in COMPONENTS:
                names = [file_name(part, name) for name in empty_module(part, config).state_dict()]
                found = places(part, names, config)
                assert len(set(found.values())) == len(names) and not seen & set(found.values())
                seen |= set(found.values())
        with pytest.raises(KeyError):
            places("unet", ["down_blocks.9.resnets.0.conv1.weight"], tiny_configs(family)["unet"])


@pytest.mark.parametrize("change", ["missing", "transposed", "longer"])
@pytest.mark.parametrize("form", ["model.safetensors", "model.ckpt"])
def test_a_file_whose_weights_do_not_fit_is_refused_by_the_name_of_one(
    change: str, form: str, tiny_folder: TinyFolder, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import save_file
    from tiny_models import original_tensors

    from dbtui.engine.models import load_models

    tensors = original_tensors("sd2", tiny_folder("sd2"))
    name = "cond_stage_model.model.transformer.resblocks.1.attn.in_proj_weight"
    if change == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name].t().contiguous() if change == "transposed" else torch.zeros(97, 32)
    file = tmp_path / form
    save_file(tensors, file) if form.endswith("tensors") else torch.save({"state_dict": tensors}, file)
    with pytest.raises(DbtuiError, match="do not fit") as caught:
        load_models(find_model(str(file)))
    assert name in caught.value.message


@pytest.mark.parametrize("part", COMPONENTS)
@pytest.mark.parametrize("form", ["folder", "model.safetensors", "model.ckpt"])
def test_weights_that_are_no_numbers_are_refused_by_the_name_of_one(
    form: str, part: str, tiny_folder: TinyFolder, tmp_path: Path
) -> None:
    import shutil

    from safetensors.torch import load_file, save_file
    from tiny_models import make_file

    from dbtui.engine.models import load_models

    model = Path(shutil.copytree(tiny_folder("sd1"), tmp_path / "folder"))
    (file,) = (model / part).glob("*.safetensors")
    tensors = {name: tensor.half() for name, tensor in load_file(file).items()}
    last = sorted(name for name in tensors if tensors[name].ndim == 2)[-1]
    tensors[last][:] = 60_000  # whose sum has no place in 16 bit, and is none of the file's faults
    save_file(tensors, file)
    load_models(find_model(str(model if form == "folder" else make_file("sd1", model, tmp_path / form))))
    for wrong in (float("nan"), float("inf")):
        tensors[last][-1, -1] = wrong
        save_file(tensors, file)
        path = model if form == "folder" else make_file("sd1", model, tmp_path / form)
        with pytest.raises(DbtuiError, match="no numbers") as caught:
            load_models(find_model(str(path)))
        assert last.split(".")[-1] in caught.value.message and part in caught.value.message


@pytest.mark.parametrize("said", [-5, 0, 2, True, "77", 10**30])
def test_a_length_that_no_prompt_has_is_not_believed(
    said: object, tiny_folder: TinyFolder, tmp_path: Path, edit_json: Callable[..., None]
) -> None:
    import shutil

    from dbtui.engine.models import load_models

    folder = Path(shutil.copytree(tiny_folder("sd1"), tmp_path / "model"))
    edit_json(folder / "tokenizer" / "tokenizer_config.json", model_max_length=said)
    assert load_models(find_model(str(folder))).token_ids(["a photo"]).shape == (1, 77)


def test_a_config_that_describes_far_more_than_its_file_has_is_refused_before_memory_is_taken(
    tiny_folder: TinyFolder, tmp_path: Path, edit_json: Callable[..., None]
) -> None:
    import shutil

    from dbtui.engine.models import load_models

    folder = Path(shutil.copytree(tiny_folder("sd1"), tmp_path / "model"))
    for changes in ({"block_out_channels": [8192] * 4}, {"layers_per_block": 16}, {"cross_attention_dim": 8192}):
        shutil.copy(tiny_folder("sd1") / "unet" / "config.json", folder / "unet")
        edit_json(folder / "unet" / "config.json", **changes)
        with pytest.raises(DbtuiError, match="its config describes"):
            load_models(find_model(str(folder)))


@pytest.mark.parametrize("content", [b'{"version": "1.0"}', b"\xff\x00", b"[1, 2]"])
@pytest.mark.parametrize("name", ["vocab.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_that_makes_no_sense_is_refused_in_a_sentence(
    name: str, content: bytes, tiny_folder: TinyFolder, tmp_path: Path
) -> None:
    import shutil

    from dbtui.engine.models import load_models

    folder = Path(shutil.copytree(tiny_folder("sd1"), tmp_path / "model"))
    (folder / "tokenizer" / name).write_bytes(content)
    if (name, content[:1]) == ("tokenizer_config.json", b"{"):
        return  # which is one that says nothing
    with pytest.raises(DbtuiError) as caught:
        load_models(find_model(str(folder)))
    assert "again" in caught.value.hint


def test_a_tokenizer_that_names_no_length_or_too_much_reads_what_the_text_encoder_can(
    tiny_folder: TinyFolder, tmp_path: Path, edit_json: Callable[..., None]
) -> None:
    import shutil

    from dbtui.engine.models import load_models

    folder = Path(shutil.copytree(tiny_folder("sd1"), tmp_path / "model"))
    wanted = load_models(find_model(str(tiny_folder("sd1")))).embed(["a photo of sks dog"])
    for length in (10**30, 1000, "many"):
        edit_json(folder / "tokenizer" / "tokenizer_config.json", model_max_length=length)
        assert load_models(find_model(str(folder))).embed(["a photo of sks dog"]).equal(wanted)


def test_a_tokenizer_with_words_that_the_text_encoder_does_not_know_is_refused(
    tiny_folder: TinyFolder, tmp_path: Path, edit_json: Callable[..., None]
) -> None:
    import shutil

    from dbtui.engine.models import load_models

    folder = Path(shutil.copytree(tiny_folder("sd1"), tmp_path / "model"))
    edit_json(folder / "tokenizer" / "tokenizer_config.json", pad_token="<a word of its own>")
    with pytest.raises(DbtuiError, match="49,408"):
        load_models(find_model(str(folder)))


def test_what_was_taught_to_the_embedded_model_is_read_from_a_single_file(tmp_path: Path) -> None:
    """Its own words, heads and scales are not in the file; they are known here."""
    from safetensors.torch import load_file, save_file

    from dbtui.engine.models import load_models
    from dbtui.engine.original import to_original

    mini = find_model("mini")
    tensors = to_original({part: load_file(file) for part, file in mini.weights.items()}, mini.configs)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "mini.safetensors")
    file = find_model(str(tmp_path / "mini.safetensors"))
    assert (file.family, file.resolution, file.parameters) == (mini.family, mini.resolution, mini.parameters)
    wanted, found = load_models(mini), load_models(file)
    assert_equal(weights(found), weights(wanted))
    assert picture(found) == picture(wanted)
