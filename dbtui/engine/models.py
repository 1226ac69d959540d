"""The parts of a Stable Diffusion model in memory, and their names on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from dbtui.core.base_model import BaseModel
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.weights import read_header

PREFIX = "text_model."
"""Of text encoder weights on disk; transformers 5.6 and later drop it in memory."""


def quiet_libraries() -> None:
    """Keep progress bars and advice of the libraries out of the log; errors still come through."""
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


@dataclass
class Models:
    """A whole model: ``alphas`` [T] is the cumulative product of 1 - beta, on the CPU."""

    base: BaseModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    alphas: Tensor

    @property
    def latent_factor(self) -> int:
        """Pixels along a side for one latent."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def component(self, name: str) -> nn.Module:
        return {"unet": self.unet, "text_encoder": self.text_encoder, "vae": self.vae}[name]

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Models:
        for part in (self.unet, self.vae, self.text_encoder):
            part.to(device=device, dtype=dtype)
        return self

    @torch.no_grad()
    def embed(self, prompts: list[str]) -> Tensor:
        """Hidden states [prompts, tokens, width] of the text encoder."""
        return self.text_encoder(self.token_ids(prompts).to(self.text_encoder.device))[0]

    def token_ids(self, prompts: list[str]) -> Tensor:
        """Token numbers [prompts, tokens], padded and cut to the model's length."""
        length = self.tokenizer.model_max_length
        return self.tokenizer(
            prompts, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        ).input_ids

    def words_cut(self, prompt: str) -> bool:
        """Whether the end of ``prompt`` is beyond what the text encoder reads."""
        return len(self.tokenizer(prompt).input_ids) > self.tokenizer.model_max_length


def load_models(base: BaseModel, dtype: torch.dtype = torch.float32) -> Models:
    """The model ``base`` on the CPU. Raises DbtuiError if its files do not fit together."""
    quiet_libraries()

    def part(cls: type, name: str) -> nn.Module:
        return cls.from_pretrained(  # type: ignore[attr-defined]
            base.path,
            subfolder=name,
            variant=base.variant(name),
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
        )

    try:
        return Models(
            base=base,
            unet=part(UNet2DConditionModel, "unet"),
            vae=part(AutoencoderKL, "vae").requires_grad_(False).eval(),
            text_encoder=part(CLIPTextModel, "text_encoder"),
            tokenizer=CLIPTokenizer.from_pretrained(base.path, subfolder="tokenizer", local_files_only=True),
            alphas=DDPMScheduler.from_pretrained(base.path, subfolder="scheduler").alphas_cumprod,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise DbtuiError(
            "The model cannot be loaded", f"{printable(base.path)}: {printable(error)}", "Download or copy it again."
        ) from error


def weights_of(module: nn.Module, component: str) -> dict[str, Tensor]:
    """The weights under the names that files have, on the CPU, fp32."""
    prefix = PREFIX if component == "text_encoder" and not _has_prefix(module) else ""
    return {prefix + k: v.detach().to("cpu", torch.float32).contiguous() for k, v in module.state_dict().items()}


def load_weights(module: nn.Module, component: str, file: Path) -> None:
    """Put the weights in ``file`` into ``module``. Raises DbtuiError unless every tensor fits."""
    read_header(file)
    weights = load_file(file)
    if component == "text_encoder" and not _has_prefix(module):
        weights = {k.removeprefix(PREFIX): v for k, v in weights.items()}
    try:
        module.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise DbtuiError(
            "The weights do not fit the model",
            f"{printable(file)}: {printable(str(error).splitlines()[0])}.",
            "The base model is not the one that was taught.",
        ) from error


def _has_prefix(module: nn.Module) -> bool:
    return any(name.startswith(PREFIX) for name in module.state_dict())
