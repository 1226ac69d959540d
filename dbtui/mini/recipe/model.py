"""The finished model as a folder in diffusers' layout, in 16 bit, and the pipeline that draws with it."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PNDMScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

from dbtui.mini.recipe.denoiser import NOISE, Denoiser, name_the_free
from dbtui.mini.recipe.words import FREE_WORDS, RARE_WORDS


def make_pipeline(vae: AutoencoderKL, denoiser: Denoiser, tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    """A pipeline of copies, in which the free words are named."""
    text_encoder = copy.deepcopy(denoiser.text_encoder).eval()
    name_the_free(text_encoder, tokenizer, list(RARE_WORDS), list(FREE_WORDS))
    pipe = StableDiffusionPipeline(
        vae=copy.deepcopy(vae).eval(),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=copy.deepcopy(denoiser.unet).eval(),
        scheduler=DPMSolverMultistepScheduler(**NOISE, use_karras_sigmas=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def save_model(pipe: StableDiffusionPipeline, folder: Path) -> None:
    """Write ``pipe`` to ``folder``, in place of what was there. It is in 16 bit and on the CPU afterwards."""
    pipe.scheduler = PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1)
    pipe.to("cpu", torch.float16)
    for part in (pipe.vae, pipe.unet, pipe.text_encoder):
        part.to(memory_format=torch.contiguous_format)
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    pipe.save_pretrained(unfinished, safe_serialization=True)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def load_model(folder: Path) -> tuple[AutoencoderKL, Denoiser, CLIPTokenizer]:
    """What ``save_model`` wrote, in 32 bit, to be trained on. Raises OSError if there is no such model."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True, torch_dtype=torch.float32)
    return pipe.vae, Denoiser(pipe.unet, pipe.text_encoder), pipe.tokenizer
