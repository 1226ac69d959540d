"""The structures of the models that most are taught on, by the numbers in their configs."""

from __future__ import annotations

from typing import Any

import pytest

from dbtui.core.architecture import Architecture
from dbtui.core.base_model import find_model

UNET = {"block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2, "cross_attention_dim": 768}
VAE = {"block_out_channels": [128, 256, 512, 512]}
TEXT = {
    "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "max_position_embeddings": 77,
}  # fmt: skip
LARGE: dict[str, Any] = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23}


@pytest.fixture(scope="session")
def architectures() -> dict[str, Architecture]:
    """Stable Diffusion 1.5 and 2.1 as ``sd1`` and ``sd2``, and the embedded model."""
    parameters = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}
    sd1 = Architecture.from_configs(UNET, VAE, TEXT, parameters)
    parameters = {"unet": 865_910_724, "vae": 83_653_863, "text_encoder": 340_387_840}
    sd2 = Architecture.from_configs({**UNET, "cross_attention_dim": 1024}, VAE, {**TEXT, **LARGE}, parameters)
    return {"sd1": sd1, "sd2": sd2, "mini": Architecture.of(find_model("mini"))}
