"""The autoencoder: pictures to latents of a quarter of the side, and back."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from dbtui.mini.recipe.layout import Layout
from dbtui.mini.recipe.plan import Plan
from dbtui.mini.recipe.rendering import Renderer
from dbtui.mini.recipe.schedule import Average, rate_at, until

KL_WEIGHT = 2e-4
SQUARED_WEIGHT = 4.0
SCALES = 3
FORGIVEN = 0.1
"""Half of the pictures are decoded from latents with noise of up to this share of their deviation, so that the decoder
forgives the UNet's errors, which otherwise show as coloured specks."""


def build_autoencoder(plan: Plan) -> AutoencoderKL:
    """An untrained autoencoder."""
    levels = len(plan.autoencoder_channels)
    return AutoencoderKL(
        block_out_channels=plan.autoencoder_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=plan.autoencoder_layers,
        latent_channels=4,
        norm_num_groups=min(plan.groups, plan.autoencoder_channels[0]),
        sample_size=plan.resolution,
    )


def reconstruction_loss(made: Tensor, picture: Tensor) -> Tensor:
    """What the eye minds: differences and those of their slopes at three scales, and the square for the PSNR."""
    difference = made - picture
    loss = SQUARED_WEIGHT * difference.square().mean()
    for scale in range(SCALES):
        across, down = difference.diff(dim=3), difference.diff(dim=2)
        loss = loss + difference.abs().mean() + across.abs().mean() + down.abs().mean()
        if scale < SCALES - 1:
            difference = F.avg_pool2d(difference, 2)
    return loss


def _moments(vae: AutoencoderKL, picture: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the logarithm of the variance of the latents."""
    mean, log_variance = vae.quant_conv(vae.encoder(picture)).float().chunk(2, 1)
    return mean, log_variance.clamp(-30, 20)


def autoencoder_loss(vae: AutoencoderKL, picture: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the mean squared error of the pictures, as values from -1 to 1."""
    with torch.autocast(picture.device.type, torch.bfloat16, enabled=picture.is_cuda):
        mean, log_variance = _moments(vae, picture)
        latents = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        noise = (torch.rand(len(mean), 1, 1, 1, device=mean.device) * 2 - 1).clamp(min=0) * FORGIVEN
        latents = latents + noise * latents.detach().std() * torch.randn_like(mean)
        made = vae.decoder(vae.post_quant_conv(latents)).float()
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
    return reconstruction_loss(made, picture) + KL_WEIGHT * divergence, (made - picture).square().mean()


def train_autoencoder(
    vae: AutoencoderKL, renderer: Renderer, layout: Layout, plan: Plan, say: Callable[[str], None]
) -> None:
    """Train for the plan's minutes on pictures drawn afresh from ``layout``; leaves the average of the weights."""
    cuda = layout.backdrop.is_cuda
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1.0, betas=(0.9, 0.99), weight_decay=1e-4, fused=cuda)
    average = Average(vae.parameters(), 0.999)
    step_loss = torch.compile(autoencoder_loss) if cuda else autoencoder_loss
    step = 0
    for progress in until(plan.autoencoder_minutes, plan.autoencoder_steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(plan.autoencoder_rate, progress, step, plan.warmup)
        which = torch.randint(len(layout), (plan.autoencoder_batch,), device=layout.backdrop.device)
        with torch.no_grad():
            picture = renderer.draw(layout[which]).contiguous(memory_format=torch.channels_last)
        loss, error = step_loss(vae, picture)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update()
        step += 1
        if step % 1000 == 0 or step in (1, 100):
            say(f"autoencoder step {step} ({progress:.0%}): loss {loss.item():.4f}, {decibels(error.item()):.2f} dB")
    average.swap()
    say(f"autoencoder: {step} steps")


def decibels(error: float) -> float:
    """The peak signal-to-noise ratio for a mean squared error of values from -1 to 1."""
    return 10 * math.log10(4 / error)


@torch.no_grad()
def psnr(vae: AutoencoderKL, pictures: Tensor) -> float:
    """In decibels, of the mean squared error over all ``pictures``, decoded from the latents' means in 8 bit."""
    errors = []
    for part in pictures.split(64):
        made = vae.decode(vae.encode(part).latent_dist.mean).sample.clamp(-1, 1)
        errors.append((((made + 1) * 127.5).round() / 127.5 - 1 - part).square().mean((1, 2, 3)))
    return decibels(torch.cat(errors).mean().item())


@torch.no_grad()
def encode(vae: AutoencoderKL, renderer: Renderer, layout: Layout, batch: int = 512) -> Tensor:
    """The latents of every picture, [N, 8, side/4, side/4] of 16 bit: their means, then their deviations."""
    side = renderer.resolution // 4
    cuda = layout.backdrop.is_cuda
    moments = torch.compile(_moments) if cuda else _moments
    made = torch.empty(len(layout), 8, side, side, dtype=torch.float16, device=layout.backdrop.device)
    for start in range(0, len(layout), batch):
        picture = renderer.draw(layout[start : start + batch]).contiguous(memory_format=torch.channels_last)
        with torch.autocast(picture.device.type, torch.bfloat16, enabled=cuda):
            mean, log_variance = moments(vae, picture)
        made[start : start + batch, :4] = mean
        made[start : start + batch, 4:] = (log_variance / 2).exp()
    return made
