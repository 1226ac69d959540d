"""What predicts the noise in pictures: on request one CUDA graph of this program's kernels in place of the UNet.

Drawing a grid launches some thousand small kernels a step, and the GPU waits for each; a graph is one launch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from dbtui.core.errors import printable
from dbtui.engine import cuda_graph
from dbtui.engine.decoder import KernelDecoder
from dbtui.engine.machine import kernels_problem, unused_memory
from dbtui.engine.models import Models, empty_module

MOST_SHAPES = 3
"""Of latents and prompts, that stay captured: each has its working memory."""

ONE_PICTURE = 2
"""Latents of a picture at most, with and without its prompt."""

TOLERANCE = 8
"""Relative distance that is taken for rounding, in epsilons of the coarser type: ten times what the embedded model has."""


class Step:
    """One prediction of ``unet`` on buffers that stay where they are, as a graph needs them.

    On a GPU it is a graph; elsewhere the same is computed on the same buffers. Raises what a capture raises.
    """

    def __init__(self, unet: UNet2DConditionModel, latents: Tensor, hidden: Tensor) -> None:
        self._unet = unet
        # The buffers are as large as these, and know nothing of what is in them.
        self._latents = torch.zeros_like(latents, dtype=unet.dtype, memory_format=torch.channels_last)
        self._timesteps = torch.zeros(len(latents), device=latents.device)
        self._hidden = torch.zeros_like(hidden, dtype=unet.dtype, memory_format=torch.contiguous_format)
        self._noise = torch.zeros_like(latents)
        if latents.device.type != "cuda":
            self._replay: Callable[[], None] = self._predict
            return
        with cuda_graph.side_stream():
            for _ in range(2):  # the first compiles and makes plans, the second shows that it is settled
                self._predict()
        self._graph = cuda_graph.captured(self._predict)
        self._replay = self._graph.replay

    def _predict(self) -> None:
        with torch.autocast(self._latents.device.type, enabled=False):  # the weights have their type already
            self._noise.copy_(self._unet(self._latents, self._timesteps, self._hidden, return_dict=False)[0])

    def __call__(self, latents: Tensor, timestep: Tensor, hidden: Tensor) -> Tensor:
        self._latents.copy_(latents)
        self._timesteps.copy_(timestep)
        self._hidden.copy_(hidden)
        self._replay()
        return self._noise.clone()  # solvers keep what was predicted in earlier steps


class GraphDenoiser:
    """Predicts what ``unet`` predicts, in 16 bit; once that fails or differs, ``unet`` does it and ``say`` is told.

    Each shape is compared with the UNet when it is new.

    ``unet`` may learn in the meantime: ``refresh`` takes its weights as they are.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        say: Callable[[str], object],
        dtype: torch.dtype | None = None,
        vae: AutoencoderKL | None = None,
    ) -> None:
        """``dtype`` None is the UNet's own, or that of autocast, or fp16. With a ``vae`` there is a ``decoder``, too."""
        self._unet, self._say, self._dtype, self._vae = unet, say, dtype, vae
        self._decoder: KernelDecoder | None = None
        self._copy: UNet2DConditionModel | None = None
        self._steps: OrderedDict[tuple[torch.Size, torch.Size], Step] = OrderedDict()
        self.given_up = False

    @property
    def decoder(self) -> KernelDecoder | None:
        """What makes pictures of the latents, in the same way."""
        if self._decoder is None and self._vae is not None:
            self._decoder = KernelDecoder(self._vae, self._say, self._half())
        return self._decoder

    def tell(self, say: Callable[[str], object]) -> None:
        """Let ``say`` hear from now on what there is to say."""
        self._say = say
        if self._decoder is not None:
            self._decoder.say = say

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the weights of the UNet."""
        if self._copy is None:
            return
        theirs = self._unet.state_dict()
        for name, weight in self._copy.state_dict().items():
            weight.copy_(theirs[name])

    def has_room(self) -> bool:
        """Whether the GPU has what it takes: the copy, and as much again to work in."""
        if self._copy is not None or self._unet.device.type != "cuda":
            return True
        return unused_memory() >= 2 * sum(2 * weight.numel() for weight in self._unet.parameters())

    def release(self) -> None:
        """Give the memory back; the next prediction takes it again."""
        self._copy = None
        self._steps.clear()
        if self._decoder is not None:
            self._decoder.release()

    @torch.no_grad()
    def __call__(self, latents: Tensor, timestep: Tensor, hidden: Tensor) -> Tensor:
        """Noise [N, C, h, w] in ``latents`` of that shape, at one ``timestep``, for prompts ``hidden`` [N, tokens, width].

        Raises what the UNet raises, and torch.OutOfMemoryError where a graph of fewer pictures may fit.
        """
        if not self.given_up:
            try:
                return self._by_graph(latents, timestep, hidden)
            except Exception as error:  # whatever a driver or a compiler of kernels raises, the plain way works
                self.release()
                if isinstance(error, torch.OutOfMemoryError) and len(latents) > ONE_PICTURE:
                    raise
                self.given_up = True
                why = printable(error or type(error).__name__)
            self._say(f"Pictures cannot be drawn by a CUDA graph here ({why}); they are drawn in the plain way.")
        return self._plainly(latents, timestep, hidden)

    def _plainly(self, latents: Tensor, timestep: Tensor, hidden: Tensor) -> Tensor:
        return self._unet(latents, timestep, hidden, return_dict=False)[0]

    def _by_graph(self, latents: Tensor, timestep: Tensor, hidden: Tensor) -> Tensor:
        """Raises ValueError for a shape that is new and is not predicted as the UNet does."""
        shapes = (latents.shape, hidden.shape)
        if shapes not in self._steps:
            while len(self._steps) >= MOST_SHAPES:
                self._steps.popitem(last=False)
            step = Step(self._fused(), latents, hidden)
            # Of others first: a capture that froze an input shows where that matters, which the prompt does little in noise.
            self._compare(step, latents.flip(-1), timestep / 2, -hidden)
            self._compare(step, latents, timestep, hidden)
            self._steps[shapes] = step
        self._steps.move_to_end(shapes)
        return self._steps[shapes](latents, timestep, hidden)

    def _compare(self, step: Step, *inputs: Tensor) -> None:
        found, wanted = step(*inputs), self._plainly(*inputs)
        distance = float((found.float() - wanted.float()).norm() / wanted.float().norm())
        epsilon = max(torch.finfo(kind).eps for kind in (self._half(), wanted.dtype))
        if not distance <= TOLERANCE * epsilon:  # nor if it is no number
            raise ValueError(f"what it predicts is {distance:.1%} off")

    def _fused(self) -> UNet2DConditionModel:
        """The copy, made at the first need; its weights keep their addresses."""
        if self._copy is None:
            from dbtui.engine import fused

            copy, half = empty_module("unet", self._unet.config).requires_grad_(False), self._half()
            weights = {
                name: weight.detach().to(half, memory_format=_layout(weight), copy=True)
                for name, weight in self._unet.state_dict().items()
            }
            copy.load_state_dict(weights, assign=True)
            fused.fuse(copy)
            self._copy = copy
        return self._copy

    def _half(self) -> torch.dtype:
        kind = self._unet.device.type
        if self._dtype is None:
            by_autocast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float16
            self._dtype = by_autocast if self._unet.dtype == torch.float32 else self._unet.dtype
        return self._dtype


def _layout(weight: Tensor) -> torch.memory_format:
    return torch.channels_last if weight.dim() == 4 else torch.contiguous_format


class PipelineUNet:
    """A denoiser where a pipeline of diffusers has its UNet."""

    def __init__(self, denoiser: GraphDenoiser, unet: UNet2DConditionModel) -> None:
        self._denoiser, self.config, self.dtype = denoiser, unet.config, unet.dtype

    def __call__(self, latents: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, **_: Any) -> tuple[Tensor]:
        return (self._denoiser(latents, timestep, encoder_hidden_states),)


def graph_denoiser(models: Models, wanted: bool, say: Callable[[str], object]) -> GraphDenoiser | None:
    """What draws by a CUDA graph, if that is ``wanted`` and the model is where one can be."""
    if not wanted or kernels_problem(models.unet.device.type):
        return None
    return GraphDenoiser(models.unet, say, vae=models.vae)
