"""Single files, told apart by names and shapes alone: what they are, what they say, what is refused."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import tiny_configs

from dbtui.core.base_model import find_model
from dbtui.core.errors import DbtuiError, UsageError
from dbtui.core.model_folder import COMPONENTS
from dbtui.core.original import file_name, places
from dbtui.core.single_file import FAMILIES

TinyFile = Callable[..., Path]
Shapes = dict[str, tuple[int, ...]]


def write_hollow(path: Path, shapes: Shapes, metadata: dict[str, str] | None = None) -> Path:
    """A safetensors file with a true header, whose weights are a hole that takes no room on the disk."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + 2 * math.prod(shape)]}
        end += 2 * math.prod(shape)
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


def original_shapes(configs: dict[str, dict[str, Any]]) -> Shapes:
    """The names and shapes of the original file of a model, by way of empty modules."""
    from dbtui.engine.models import empty_module

    shapes: Shapes = {}
    for part in COMPONENTS:
        named = {file_name(part, k): tuple(v.shape) for k, v in empty_module(part, configs[part]).state_dict().items()}
        for name, place in places(part, named, configs[part]).items():
            shape = named[name]
            fused = (3 * shape[0], *shape[1:]) if place.part is not None else shape
            shapes[place.name] = (*shape, 1, 1) if place.pointwise else fused
    return shapes


@pytest.fixture(scope="module")
def tiny_shapes() -> Shapes:
    return original_shapes(tiny_configs("sd1"))


PUBLISHED = {
    "sd1": ("Stable Diffusion 1.x", 512, {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}),
    "sd2": ("Stable Diffusion 2.x", 768, {"unet": 865_910_724, "vae": 83_653_863, "text_encoder": 340_387_840}),
}
"""The families' titles, resolutions, and parameters as they are known of 1.5 and 2.1."""


KNOWN = {
    "model.diffusion_model.time_embed.2.weight": (1280, 1280),
    "model.diffusion_model.input_blocks.3.0.op.weight": (320, 320, 3, 3),
    "model.diffusion_model.input_blocks.4.0.emb_layers.1.weight": (640, 1280),
    "model.diffusion_model.input_blocks.11.0.out_layers.3.weight": (1280, 1280, 3, 3),
    "model.diffusion_model.middle_block.2.in_layers.2.weight": (1280, 1280, 3, 3),
    "model.diffusion_model.output_blocks.2.1.conv.weight": (1280, 1280, 3, 3),
    "model.diffusion_model.output_blocks.5.2.conv.weight": (1280, 1280, 3, 3),
    "model.diffusion_model.output_blocks.11.0.skip_connection.weight": (320, 640, 1, 1),
    "model.diffusion_model.out.2.weight": (4, 320, 3, 3),
    "first_stage_model.encoder.down.0.downsample.conv.weight": (128, 128, 3, 3),
    "first_stage_model.encoder.mid.attn_1.proj_out.weight": (512, 512, 1, 1),
    "first_stage_model.decoder.up.3.upsample.conv.weight": (512, 512, 3, 3),
    "first_stage_model.decoder.up.0.block.0.nin_shortcut.weight": (128, 256, 1, 1),
    "first_stage_model.quant_conv.weight": (8, 8, 1, 1),
}
"""Tensors of the published files."""

KNOWN_OF = {
    "sd1": {
        "model.diffusion_model.input_blocks.1.1.proj_in.weight": (320, 320, 1, 1),
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        "cond_stage_model.transformer.text_model.encoder.layers.11.mlp.fc1.weight": (3072, 768),
    },
    "sd2": {
        "model.diffusion_model.input_blocks.1.1.proj_in.weight": (320, 320),
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
        "cond_stage_model.model.positional_embedding": (77, 1024),
        "cond_stage_model.model.transformer.resblocks.22.attn.in_proj_weight": (3072, 1024),
        "cond_stage_model.model.transformer.resblocks.22.mlp.c_proj.weight": (1024, 4096),
        "cond_stage_model.model.ln_final.weight": (1024,),
    },
}


@pytest.mark.parametrize("family", PUBLISHED)
def test_a_file_of_the_published_size_has_the_published_configs(family: str, tmp_path: Path) -> None:
    configs = json.loads((FAMILIES / f"{family}.json").read_text())
    shapes = original_shapes(configs)
    if family == "sd2":  # the whole text encoder of OpenCLIP, whose last layer 2.x leaves out
        last = "cond_stage_model.model.transformer.resblocks.22."
        shapes |= {name.replace(".22.", ".23."): shape for name, shape in shapes.items() if name.startswith(last)}
        shapes |= {"cond_stage_model.model.text_projection": (1024, 1024), "cond_stage_model.model.logit_scale": ()}
    assert {name: shapes.get(name) for name in KNOWN} == KNOWN
    assert {name: shapes.get(name) for name in KNOWN_OF[family]} == KNOWN_OF[family]
    model = find_model(str(write_hollow(tmp_path / "m.safetensors", shapes)))
    assert (model.family, model.resolution, model.parameters) == PUBLISHED[family]
    assert model.configs == configs
    assert model.multiple == 64


@pytest.mark.parametrize(
    "name,words",
    [("conditioner.embedders.1.model.ln_final.weight", "Stable Diffusion XL"),
     ("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", "Stable Diffusion 3"),
     ("double_blocks.0.img_attn.qkv.weight", "FLUX"),
     ("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight", "a LoRA"),
     ("unet.down_blocks.0.attentions.0.to_q.lora_A.weight", "a LoRA"),
     ("control_model.input_blocks.0.0.weight", "a ControlNet"),
     ("emb_params", "a textual inversion"),
     ("down_blocks.0.resnets.0.conv1.weight", "only the UNet"),
     ("encoder.down_blocks.0.resnets.0.conv1.weight", "only the VAE"),
     ("text_model.embeddings.token_embedding.weight", "only a text encoder"),
     ("encoder.down.0.block.0.conv1.weight", "only a VAE"),
     ("input_blocks.0.0.weight", "only a UNet"),
     ("model.diffusion_model.input_blocks.0.0.weight", "has no VAE and no text encoder"),
     ("model.diffusion_model.input_blocks.1.0.time_stack.in_layers.0.weight", "makes films"),
     ("image_proj.ip_adapter.1.to_k_ip.weight", "an IP-Adapter"),
     ("single_transformer_blocks.0.norm.weight", "FLUX"),
     ("transformer.resblocks.0.ln_1.weight", "only a text encoder"),
     ("model_ema.diffusion_modelout2weight", "no Stable Diffusion model"),
     ("w\x1b[2J", "no Stable Diffusion model")],
)  # fmt: skip
def test_what_is_no_stable_diffusion_is_refused_by_its_name(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DbtuiError, match="not supported") as caught:
        find_model(str(write_hollow(tmp_path / "m.safetensors", {name: (4, 4)})))
    assert words in caught.value.message and "\x1b" not in caught.value.message


@pytest.mark.parametrize("shapes", [{"<my-cat>": (768,)}, {"clip_l": (2, 768), "clip_g": (2, 1280)}])
def test_an_embedding_is_known_by_its_width_whatever_its_name(shapes: Shapes, tmp_path: Path) -> None:
    with pytest.raises(DbtuiError, match="a textual inversion"):
        find_model(str(write_hollow(tmp_path / "m.safetensors", shapes)))


def test_an_embedding_of_the_web_interfaces_is_known_by_its_names(tmp_path: Path) -> None:
    import torch

    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": torch.zeros(1, 3)}}, tmp_path / "m.ckpt")
    with pytest.raises(DbtuiError, match="a textual inversion"):
        find_model(str(tmp_path / "m.ckpt"))


def test_averaged_weights_are_not_taken_for_the_others(tiny_shapes: Shapes, tmp_path: Path) -> None:
    head = "model.diffusion_model."
    shapes = {
        f"model_ema.diffusion_model{name.removeprefix(head).replace('.', '')}" if name.startswith(head) else name: shape
        for name, shape in tiny_shapes.items()
    }
    with pytest.raises(DbtuiError, match=r"has no UNet.*EMA"):
        find_model(str(write_hollow(tmp_path / "m.safetensors", shapes)))


def test_weights_in_8_bit_are_refused_for_that(tiny_shapes: Shapes, tmp_path: Path) -> None:
    file = write_hollow(tmp_path / "m.safetensors", tiny_shapes)
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    for entry in header.values():
        entry["dtype"], entry["data_offsets"] = "F8_E4M3", [offset // 2 for offset in entry["data_offsets"]]
    text = json.dumps(header).encode()
    end = max(entry["data_offsets"][1] for entry in header.values())
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))
    with pytest.raises(DbtuiError, match="8 bit"):
        find_model(str(file))


def test_a_safetensors_file_that_is_called_a_ckpt_is_read_as_what_it_is(tiny_file: TinyFile, tmp_path: Path) -> None:
    (tmp_path / "m.ckpt").symlink_to(tiny_file("sd1"))
    assert find_model(str(tmp_path / "m.ckpt")).family == "Stable Diffusion 1.x"


@pytest.mark.parametrize(
    "name,shape,words",
    [("model.diffusion_model.input_blocks.0.0.weight", (32, 9, 3, 3), "9 channels: it is an inpainting"),
     ("model.diffusion_model.input_blocks.0.0.weight", (32, 5, 3, 3), "a depth model"),
     ("model.diffusion_model.input_blocks.0.0.weight", (32,), "other shapes"),
     ("model.diffusion_model.label_emb.0.0.weight", (4,), "more than a prompt"),
     ("model.diffusion_model.input_blocks.1.1.transformer_blocks.1.norm1.weight", (4,), "larger relative"),
     ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", (3050, 32), "3,050 tokens"),
     ("cond_stage_model.transformer.text_model.embeddings.position_embedding.weight", (32, 32), "reads 32 of"),
     ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", (49408, 64), "not that of its UNet"),
     ("cond_stage_model.model.token_embedding.weight", (49408, 32), "neither"),
     ("model.diffusion_model.input_blocks.12.0.op.weight", (4,), "another order"),
     ("model.diffusion_model.input_blocks.20.0.op.weight", (4,), "missing"),
     ("model.diffusion_model.out.2.weight", None, "lacks model.diffusion_model.out.2.weight"),
     ("model.diffusion_model.out.2.weight", (0, 32, 3, 3), "lacks model.diffusion_model.out.2.weight"),
     ("cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight", None, "lacks")],
)  # fmt: skip
def test_a_relative_and_a_damaged_file_are_refused_by_what_is_wrong(
    name: str, shape: tuple[int, ...] | None, words: str, tiny_shapes: Shapes, tmp_path: Path
) -> None:
    shapes = {**tiny_shapes, name: shape}
    left = {name: shape for name, shape in shapes.items() if shape is not None}
    with pytest.raises(DbtuiError) as caught:
        find_model(str(write_hollow(tmp_path / "m.safetensors", left)))
    assert words in caught.value.message


@pytest.mark.parametrize(
    "family,metadata,config,asked,prediction,side",
    [("sd1", {}, None, "auto", "epsilon", 512),
     ("sd1", {"modelspec.prediction_type": "v"}, None, "auto", "v_prediction", 512),
     ("sd2", {}, None, "auto", "v_prediction", 768),
     ("sd2", {}, None, "epsilon", "epsilon", 512),
     ("sd2", {"modelspec.prediction_type": "epsilon"}, None, "auto", "epsilon", 512),
     ("sd2", {"modelspec.prediction_type": "epsilon"}, None, "v_prediction", "v_prediction", 768),
     ("sd2", {"modelspec.resolution": "640x768"}, None, "auto", "v_prediction", 640),
     ("sd2", {"modelspec.resolution": "99999x1"}, None, "auto", "v_prediction", 768),
     ("sd2", {}, 'model:\n  params:\n    parameterization: "v"\n', "auto", "v_prediction", 768),
     ("sd2", {}, "model:\n  params:\n    timesteps: 1000\n", "auto", "epsilon", 512)],
)  # fmt: skip
def test_what_is_predicted_is_asked_of_the_person_the_file_and_its_config_in_this_order(
    family: str, metadata: dict, config: str | None, asked: str, prediction: str, side: int, tmp_path: Path
) -> None:
    file = write_hollow(tmp_path / "m.safetensors", original_shapes(tiny_configs(family)), metadata)
    if config is not None:
        (tmp_path / "m.yaml").write_text(config)
    model = find_model(str(file), prediction=asked)
    assert (model.prediction, model.resolution) == (prediction, side)
    assert model.configs["scheduler"]["prediction_type"] == prediction
    unsure = family == "sd2" and asked == "auto" and config is None and "modelspec.prediction_type" not in metadata
    assert [("model.prediction=epsilon" in notice) for notice in model.notices] == [True] * unsure


def test_two_models_that_predict_otherwise_are_not_the_same(tiny_file: TinyFile, model_copy: Path) -> None:
    for name in (str(tiny_file("sd2")), str(model_copy)):
        noise, velocity = (find_model(name, prediction=kind) for kind in ("epsilon", "v_prediction"))
        assert noise.fingerprint() != velocity.fingerprint()
        assert noise.fingerprint("vae") == velocity.fingerprint("vae")
        assert velocity.configs["scheduler"]["prediction_type"] == "v_prediction"


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.pth", "model", "model.onnx"])
def test_a_file_of_another_kind_is_not_looked_into(name: str, tiny_file: TinyFile, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to(tiny_file("sd1", "model.ckpt"))
    with pytest.raises(UsageError, match="not a model's file"):
        find_model(str(tmp_path / name))


def test_a_link_counts_by_its_own_name(tiny_file: TinyFile, tmp_path: Path) -> None:
    """The hub's cache has links with names to files without."""
    blob = tmp_path / "0123abc"
    blob.write_bytes(tiny_file("sd1").read_bytes())
    (tmp_path / "m.safetensors").symlink_to(blob)
    assert find_model(str(tmp_path / "m.safetensors")).family == "Stable Diffusion 1.x"


def test_a_model_is_found_without_torch(tiny_file: TinyFile) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from dbtui.core.base_model import find_model\n"
        f"print([find_model(f).family for f in {[str(tiny_file('sd1')), str(tiny_file('sd2', 'lightning.ckpt'))]}])\n"
        "print([m for m in ('torch', 'numpy', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['Stable Diffusion 1.x', 'Stable Diffusion 2.x']", "[]"]
