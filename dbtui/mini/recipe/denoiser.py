"""The denoiser: a UNet and the text encoder that tells it what to draw, trained together from nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from dbtui.mini.recipe.plan import Plan
from dbtui.mini.recipe.schedule import Average, rate_at, until
from dbtui.mini.recipe.sitting import Sitting
from dbtui.mini.recipe.tokenizer import LENGTH

NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
"""Stable Diffusion's noise schedule."""

WHOLE = Sitting()

WITHOUT_CAPTION = 0.1
SNR_LIMIT = 5.0


class Denoiser(nn.Module):
    """The two models and the schedule of the noise."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder
        self.register_buffer("kept", DDPMScheduler(**NOISE).alphas_cumprod, persistent=False)

    def loss(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """The mean squared error of the predicted noise, weighted by min(SNR, 5) / SNR (Hang et al., 2023).

        Timesteps are spread evenly over the batch, which says the same with less chance in it.
        """
        batch, device = len(latents), latents.device
        noise = torch.randn_like(latents)
        spread = (torch.randperm(batch, device=device) + torch.rand(batch, device=device)) / batch
        timestep = (spread * len(self.kept)).long().clamp(max=len(self.kept) - 1)
        kept = self.kept[timestep]
        noisy = kept.sqrt()[:, None, None, None] * latents + (1 - kept).sqrt()[:, None, None, None] * noise
        with torch.autocast(device.type, torch.bfloat16, enabled=latents.is_cuda):
            words = self.text_encoder(tokens)[0]
            noisy = noisy.contiguous(memory_format=torch.channels_last)
            predicted = self.unet(noisy, timestep, words, return_dict=False)[0]
        ratio = kept / (1 - kept)
        error = (predicted.float() - noise).square().mean((1, 2, 3))
        return (error * ratio.clamp(max=SNR_LIMIT) / ratio).mean()


def build_denoiser(plan: Plan, tokenizer: CLIPTokenizer) -> Denoiser:
    """Untrained models; the first level of the UNet has no attention."""
    others = len(plan.unet_channels) - 1
    unet = UNet2DConditionModel(
        sample_size=plan.resolution // 4,
        block_out_channels=plan.unet_channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * others),
        up_block_types=(*("CrossAttnUpBlock2D",) * others, "UpBlock2D"),
        cross_attention_dim=plan.width,
        attention_head_dim=plan.heads,
        norm_num_groups=min(plan.groups, plan.unet_channels[0]),
    )
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=plan.width,
        intermediate_size=plan.width * 4,
        num_hidden_layers=plan.text_layers,
        num_attention_heads=plan.heads,
        projection_dim=plan.width,
        max_position_embeddings=LENGTH,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Denoiser(unet, CLIPTextModel(config))


def train_denoiser(
    denoiser: Denoiser,
    latents: Tensor,
    tokens: Tensor,
    empty: Tensor,
    plan: Plan,
    say: Callable[[str], None],
    keep: Callable[[], None],
    sitting: Sitting = WHOLE,
) -> bool:
    """Train for the plan's minutes, or to the end of the sitting; leaves the average of the weights. Whether it is done.

    ``latents`` [N, 8, h, w] are means and deviations, scaled; ``tokens`` [N, LENGTH]; ``empty`` [LENGTH] the tokens of
    no caption. ``keep`` is called with the average in place, five times on the way.
    """
    device = latents.device
    parameters = list(denoiser.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1.0, betas=(0.9, 0.99), weight_decay=1e-3, fused=latents.is_cuda)
    average = Average(parameters)
    loss_of = torch.compile(denoiser.loss) if latents.is_cuda else denoiser.loss
    step, begun = sitting.take_up(parameters, optimizer, average)
    kept, progress = int(begun * 6), begun
    for progress in until(plan.minutes, plan.steps, begun):
        if progress >= sitting.end:
            sitting.keep(step, progress, parameters, optimizer, average)
            break
        for group in optimizer.param_groups:
            group["lr"] = rate_at(plan.rate, progress, step, plan.warmup)
        which = torch.randint(len(latents), (plan.batch,), device=device)
        mean, deviation = latents[which].float().chunk(2, 1)
        captions = tokens[which].long()
        dropped = torch.rand(plan.batch, device=device) < WITHOUT_CAPTION
        captions = torch.where(dropped[:, None], empty, captions)
        loss = loss_of(mean + deviation * torch.randn_like(mean), captions)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update()
        step += 1
        if step % 500 == 0 or step in (1, 100):
            say(f"denoiser step {step} ({progress:.0%}): loss {loss.item():.4f}")
        if progress * 6 >= kept + 1:
            kept += 1
            average.swap()
            keep()
            average.swap()
    else:
        progress = 1.0
        sitting.done()
    average.swap()
    say(f"denoiser: {step} steps of {plan.batch}, {progress:.0%}")
    return progress == 1.0


@torch.no_grad()
def name_the_free(text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, rare: list[str], free: list[str]) -> None:
    """Give each of the ``free`` words what the embeddings of the ``rare`` have in common, as long as those are.

    So a word that no caption has is read as a name of an individual whose looks are yet to be learned.
    """
    rows = text_encoder.get_input_embeddings().weight
    known = rows[_ids(tokenizer, rare)]
    common = known.mean(0)
    rows[_ids(tokenizer, free)] = common / common.norm() * known.norm(dim=1).mean()


def _ids(tokenizer: CLIPTokenizer, words: list[str]) -> list[int]:
    """The tokens of ``words``, of which each is one. Raises ValueError if one is not."""
    tokens = [tokenizer(word, add_special_tokens=False).input_ids for word in words]
    if any(len(ids) != 1 for ids in tokens):
        raise ValueError("a rare word is not one token")
    return [ids[0] for ids in tokens]
