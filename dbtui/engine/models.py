"""The parts of a Stable Diffusion model in memory, and their names on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from dbtui.core.architecture import Architecture
from dbtui.core.base_model import BaseModel
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.model_folder import COMPONENTS
from dbtui.core.original import Place, file_name, places, standard_name
from dbtui.core.single_file import LENGTH, VOCABULARY
from dbtui.core.weights import read_header
from dbtui.engine.failures import out_of_memory
from dbtui.engine.original import shape_at, take
from dbtui.engine.tensor_files import open_tensors

TEXT_KEYS = (
    "vocab_size", "hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "hidden_act", "layer_norm_eps", "attention_dropout", "bos_token_id", "eos_token_id",
    "pad_token_id",
)  # fmt: skip
"""Of a text encoder's config, what is its architecture; other keys could name code to fetch."""


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

    def token_count(self, prompt: str) -> int:
        """Tokens of the whole of ``prompt``, with those that begin and end it."""
        return len(self.tokenizer(prompt).input_ids)

    def words_cut(self, prompt: str) -> bool:
        """Whether the end of ``prompt`` is beyond what the text encoder reads."""
        return self.token_count(prompt) > self.tokenizer.model_max_length


def load_models(base: BaseModel, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> Models:
    """The model ``base`` on ``device``. Raises DbtuiError if its files do not fit together.

    Names and shapes are compared before memory is taken for a weight; each goes to a CUDA device as the file has it,
    which is faster than all of them at once in ``dtype``.
    """
    quiet_libraries()
    _check_counts(base)
    try:
        parts = {part: empty_module(part, base.configs[part]) for part in COMPONENTS}
        for part, module in parts.items():
            _fill(base, part, module, dtype, device)
            module.to(device)
        return Models(
            base=base,
            unet=parts["unet"],
            vae=parts["vae"].requires_grad_(False),
            text_encoder=parts["text_encoder"],
            tokenizer=_tokenizer(base),
            alphas=DDPMScheduler.from_config(base.configs["scheduler"]).alphas_cumprod,
        )
    except DbtuiError:
        raise
    except Exception as error:  # whatever the libraries say of configs and words that they cannot read
        if out_of_memory(error):
            raise
        raise DbtuiError(
            "The model cannot be loaded",
            f"{printable(base.path)}: {printable(error) or type(error).__name__}",
            "Download or copy it again.",
        ) from error


def _tokenizer(base: BaseModel) -> CLIPTokenizer:
    """That of ``base``, whose words all have a place in its text encoder. Raises ValueError for one of another model."""
    options = {} if base.pad_token is None else {"pad_token": base.pad_token}
    tokenizer = CLIPTokenizer.from_pretrained(base.tokenizer, local_files_only=True, **options)
    text = {"vocab_size": VOCABULARY, "max_position_embeddings": LENGTH, **base.configs["text_encoder"]}
    # A tokenizer that does not say how much is read of a prompt has a number without end in its place. Two of what is
    # read are its beginning and its end.
    length = tokenizer.model_max_length
    if not isinstance(length, int) or not 2 < length <= text["max_position_embeddings"]:
        tokenizer.model_max_length = text["max_position_embeddings"]
    highest = max(tokenizer.get_vocab().values(), default=0)
    if highest >= text["vocab_size"]:
        raise ValueError(f"its tokenizer has a word {highest:,}, and its text encoder knows {text['vocab_size']:,}")
    return tokenizer


def _check_counts(base: BaseModel) -> None:
    """Raise DbtuiError where a config describes more weights than its file has: building it could take any memory."""
    built = Architecture.of(base)
    described = {"unet": built.unet(base.resolution), "text_encoder": built.text_encoder()}
    for part, layers in described.items():
        count = sum(layer.parameters for layer in layers)
        if count > 2 * base.parameters[part]:  # what a few are short of is said by name below
            there = f"{base.parameters[part]:,}"
            raise _unfit(base, part, f"its config describes {count:,} weights and the file has {there}")


def empty_module(part: str, config: Mapping[str, Any]) -> nn.Module:
    """The module that ``config`` describes, for drawing, with no memory behind its weights."""
    with init_empty_weights(include_buffers=False):
        if part == "text_encoder":
            module = CLIPTextModel(CLIPTextConfig(**{key: config[key] for key in TEXT_KEYS if key in config}))
        else:
            module = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}[part].from_config(config)
    return module.eval()


def _fill(base: BaseModel, part: str, module: nn.Module, dtype: torch.dtype, device: str | torch.device) -> None:
    """Give ``module`` its weights out of the files of ``base``. Raises DbtuiError unless every one fits."""
    wanted = {file_name(part, name): (name, tensor.shape) for name, tensor in module.state_dict().items()}
    with open_tensors(base.weights[part]) as file:
        if base.is_single_file:
            there = {standard_name(name): name for name in file.shapes}
            found = places(part, wanted, base.configs[part])
        else:
            there = {file_name(part, name): name for name in file.shapes}
            found = {name: Place(name) for name in wanted}
        for name, place in found.items():
            shape = wanted[name][1]
            if place.name not in there:
                raise _unfit(base, part, f"{place.name} is missing")
            if tuple(shape) != shape_at(place, file.shapes[there[place.name]]):
                raise _unfit(base, part, f"{place.name} has another shape than the config says")
        weights = {}
        for name, place in found.items():
            weight = take(place, lambda source: file.read(there[source]))
            if torch.device(device).type == "cuda":  # an Apple GPU does not take every type that a file may have
                weight = weight.to(device)
            if not _is_finite(weight):
                raise _not_finite(base, part, place.name)
            weights[wanted[name][0]] = weight.to(dtype, copy=True).contiguous()
    module.load_state_dict(weights, strict=True, assign=True)


def _is_finite(weight: Tensor) -> bool:
    """Whether all of ``weight`` are numbers. Their sum tells at a fraction of the price; it may overflow, though."""
    return bool(torch.isfinite(weight.sum(dtype=torch.float32))) or bool(torch.isfinite(weight).all())


def _not_finite(base: BaseModel, part: str, name: str) -> DbtuiError:
    return DbtuiError(
        "The model is damaged",
        f"{printable(base.weights[part])}: {printable(name)} has values that are no numbers ({part}). "
        "Nothing was loaded.",
        "Download or copy the model again; if it stays so, it was made so, and another one is needed.",
    )


def _unfit(base: BaseModel, part: str, why: str) -> DbtuiError:
    return DbtuiError(
        "The model's weights do not fit its config",
        f"{printable(base.weights[part])}: {printable(why)} ({part}). Nothing was loaded.",
        "Download or copy the model again.",
    )


def weights_of(module: nn.Module, component: str, keep: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """The weights under the names that files have, in fp32, as ``keep`` gives them."""
    return {
        file_name(component, name): keep(weight.detach().float().contiguous())
        for name, weight in module.state_dict().items()
    }


def load_weights(module: nn.Module, component: str, file: Path) -> dict[str, Tensor]:
    """Put the weights in ``file`` into ``module``, and return them. Raises DbtuiError unless every tensor fits."""
    read_header(file)
    weights = load_file(file)
    names = {file_name(component, name): name for name in module.state_dict()}
    try:
        module.load_state_dict({names.get(k, k): v for k, v in weights.items()}, strict=True)
    except RuntimeError as error:
        raise DbtuiError(
            "The weights do not fit the model",
            f"{printable(file)}: {printable(str(error).splitlines()[0])}.",
            "The base model is not the one that was taught.",
        ) from error
    return weights
