"""What `dbtui bench` measures, and what it found: without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SD15: dict[str, dict[str, Any]] = {
    "unet": {
        "sample_size": 64, "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2,
        "cross_attention_dim": 768, "attention_head_dim": 8,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    },
    "vae": {
        "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4, "layers_per_block": 2, "latent_channels": 4, "sample_size": 512,
    },
    "text_encoder": {
        "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
        "num_hidden_layers": 12, "projection_dim": 768, "hidden_act": "quick_gelu", "max_position_embeddings": 77,
        "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407,
    },
}  # fmt: skip
"""The architecture of Stable Diffusion 1.5: speed needs no real weights."""

MODELS = {"sd15": "Stable Diffusion 1.5", "mini": "mini"}
"""What can be measured, by the names that people read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What is to be measured: training at each of ``batches`` and ``resolutions``, and drawing at each resolution.

    ``model`` of MODELS, or empty for the one that suits the device; no resolutions are the model's own;
    ``against`` is a training script to time beside it, or empty.
    """

    model: str = ""
    batches: list[int] = field(default_factory=lambda: [2])
    resolutions: list[int] = field(default_factory=list)
    steps: int = 50
    draw_steps: int = 25
    precision: str = "auto"
    against: str = ""
    arguments: list[str] = field(default_factory=list)
    """Of the script, beside those that it is given anyway."""
    whole: int = 0
    """Steps of a whole training, from the command to the concept; 0 for none."""
    processes: int = 1
    """That do it together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table; what was not measured is None, and ``problem`` says why."""

    what: str
    """training, sampling, class pictures, diffusers for its pipeline, whole training or a part of it, a script's name or its class pictures."""
    model: str
    resolution: int
    batch: int
    precision: str = ""
    how: str = ""
    milliseconds: float | None = None
    """For a training step; else for the whole of it."""
    pictures: float | None = None
    """A second."""
    memory: int | None = None
    """Bytes at the peak: the device's, or this process's where there is none."""
    floor: float | None = None
    """Share of the speed that this device's products and memory would allow."""
    problem: str = ""
