"""A model that is small enough to be computed by Triton's interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_models


@pytest.fixture(scope="session")
def shallow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two levels only: the interpreter takes its time for every kernel."""
    sizes = tiny_models.SIZES | {
        "unet": tiny_models.SIZES["unet"] | {
            "block_out_channels": [32, 64], "layers_per_block": 1,
            "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        },
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "SIZES", sizes)
        return tiny_models.make_folder("sd1", tmp_path_factory.mktemp("shallow") / "folder")
