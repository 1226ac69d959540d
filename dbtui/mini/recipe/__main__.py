"""``python -m dbtui.mini.recipe --emoji emoji.zip --out DIR``: make the embedded model."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from diffusers.utils import logging as diffusers_logging
from torch import Tensor
from transformers import CLIPTokenizer

from dbtui.mini.recipe import grid
from dbtui.mini.recipe.autoencoder import build_autoencoder, encode, psnr, train_autoencoder
from dbtui.mini.recipe.compositions import Composition, compose_chunks
from dbtui.mini.recipe.denoiser import build_denoiser, train_denoiser
from dbtui.mini.recipe.emoji import Emoji, read_emoji
from dbtui.mini.recipe.layout import pack
from dbtui.mini.recipe.model import load_model, make_pipeline, save_model
from dbtui.mini.recipe.plan import TINY, Plan
from dbtui.mini.recipe.rendering import Renderer
from dbtui.mini.recipe.sitting import Sitting
from dbtui.mini.recipe.tokenizer import LENGTH, make_tokenizer
from dbtui.mini.recipe.words import FREE_WORDS, RARE_WORDS

LEARNED_FROM = 20_000
"""Captions that the tokenizer is learned from."""

HELD_BACK = 512
STARTED = time.monotonic()


def say(text: str) -> None:
    """A line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:6.1f} s] {text}", flush=True)


def make_model(
    emoji: Emoji, plan: Plan, out: Path, device: str, start: Path | None, vae_from: Path | None, end: float = 1.0
) -> None:
    """The whole recipe: the model goes to ``out/model``, what to look at beside it.

    ``start`` is a model to train on; ``vae_from`` an autoencoder to use as it is. At the share ``end`` of the UNet's
    training it stops, and goes on from there when it is called again.
    """
    torch.manual_seed(plan.seed)
    out.mkdir(parents=True, exist_ok=True)
    sitting = Sitting(out / "unfinished.pt", end)
    if sitting.begun and not start:
        vae_from = out / "autoencoder"
    compositions = _compose(emoji, plan, 1, plan.compositions)
    held_back = _compose(emoji, plan, 2, HELD_BACK)
    captions = [c.caption for c in compositions]
    say(f"{len(compositions)} compositions of {len(emoji.trained)} objects")
    if start:
        vae, denoiser, tokenizer = load_model(start)
    else:
        tokenizer = make_tokenizer(
            [*captions[:LEARNED_FROM], *emoji.names], [*RARE_WORDS, *FREE_WORDS], plan.vocabulary
        )
        denoiser = build_denoiser(plan, tokenizer)
        vae = AutoencoderKL.from_pretrained(vae_from) if vae_from else build_autoencoder(plan)
    for name, part in (("autoencoder", vae), ("UNet", denoiser.unet), ("text encoder", denoiser.text_encoder)):
        say(f"{name}: {sum(p.numel() for p in part.parameters()) / 1e6:.2f} M parameters")
    beside = ThreadPoolExecutor(1)  # while the GPU is busy with the autoencoder
    tokens_to_come = beside.submit(_tokens, tokenizer, [*captions, ""])
    vae.to(device, memory_format=torch.channels_last)
    denoiser.to(device, memory_format=torch.channels_last)

    renderer = Renderer(emoji.pictures, plan.resolution, device, plan.seed)
    layout = pack(compositions).to(device)
    say("backdrops and layouts")
    if not (start or vae_from):
        train_autoencoder(vae, renderer, layout, plan, say)
        vae.save_pretrained(out / "autoencoder")
    vae.requires_grad_(False).eval()
    unseen = Renderer(emoji.pictures, plan.resolution, device, plan.seed + 1).draw(pack(held_back).to(device))
    say(f"autoencoder: {psnr(vae, unseen):.2f} dB on {len(unseen)} held-back compositions")
    grid.draw_reconstructions(vae, unseen[:16], out / "reconstructions.jpg")

    latents = encode(vae, renderer, layout)
    if not start:
        vae.register_to_config(scaling_factor=1 / latents[:20_000, :4].float().std().item())
        vae.save_pretrained(out / "autoencoder")
    latents *= vae.config.scaling_factor
    tokens = tokens_to_come.result().to(device)
    beside.shutdown()
    say(f"latents of {len(latents)} pictures; the scaling factor is {vae.config.scaling_factor:.4f}")

    def keep() -> None:
        save_model(make_pipeline(vae, denoiser, tokenizer), out / "model")

    denoiser.train()
    done = train_denoiser(denoiser, latents, tokens[:-1], tokens[-1], plan, say, keep, sitting)
    keep()
    say(f"the model is in {out / 'model'}{'' if done else ', half-trained: the same command goes on'}")
    grid.draw_samples(make_pipeline(vae, denoiser, tokenizer), out / "samples.jpg")
    say("done")


def _tokens(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """[captions, LENGTH], of 16 bit."""
    found = tokenizer(captions, padding="max_length", truncation=True, max_length=LENGTH).input_ids
    return torch.tensor(found, dtype=torch.int16)


def _compose(emoji: Emoji, plan: Plan, part: int, count: int) -> list[Composition]:
    seed = 10 * plan.seed + part
    return compose_chunks(emoji.names, emoji.kinds, emoji.trained, seed, count, min(8, os.cpu_count() or 1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and make the model."""
    parser = argparse.ArgumentParser(prog="python -m dbtui.mini.recipe", description=__doc__)
    parser.add_argument("--emoji", type=Path, required=True, help="the archive of pictures and names")
    parser.add_argument("--out", type=Path, required=True, help="the folder that the model and the grids go to")
    parser.add_argument("--minutes", type=float, help="how long the UNet and the text encoder are trained")
    parser.add_argument("--autoencoder-minutes", type=float, help="how long the autoencoder is trained before that")
    parser.add_argument("--steps", type=int, help="of the UNet and the text encoder, in place of minutes")
    parser.add_argument("--autoencoder-steps", type=int, help="of the autoencoder, in place of minutes")
    parser.add_argument("--compositions", type=int, help="how many pictures are drawn")
    parser.add_argument("--seed", type=int, help="what everything random comes from")
    parser.add_argument("--autoencoder", type=Path, metavar="FOLDER", help="use this trained autoencoder")
    parser.add_argument("--start", type=Path, metavar="MODEL", help="train this model's UNet and text encoder on")
    parser.add_argument("--until", type=float, default=1.0, metavar="SHARE", help="stop there; the next call goes on")
    parser.add_argument("--tiny", action="store_true", help="models of a toy's size, to try the recipe in seconds")
    given = parser.parse_args(arguments)
    changes = {
        name: value
        for name in ("minutes", "autoencoder_minutes", "steps", "autoencoder_steps", "compositions", "seed")
        if (value := getattr(given, name)) is not None
    }
    plan = replace(TINY if given.tiny else Plan(), **changes)
    diffusers_logging.set_verbosity_error()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    make_model(read_emoji(given.emoji), plan, given.out, device, given.start, given.autoencoder, given.until)


if __name__ == "__main__":
    main()
