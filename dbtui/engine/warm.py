"""The model that the sampler keeps loaded: the base stays, what was trained goes in and out."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dbtui.core.base_model import BaseModel
from dbtui.core.library import check_base
from dbtui.core.sources import Source
from dbtui.engine.denoiser import GraphDenoiser, graph_denoiser
from dbtui.engine.models import Models, load_models, load_weights


class WarmModel:
    """At most one model in memory."""

    def __init__(self) -> None:
        self._models: Models | None = None
        self._trained: dict[str, str] = {}
        """Hashes of the trained weights that are in it, by component."""
        self._denoiser: GraphDenoiser | None = None

    def forget(self) -> None:
        """Give the memory back."""
        self._models, self._trained, self._denoiser = None, {}, None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def get(self, base: BaseModel, source: Source) -> Models:
        """The base model with the source's weights in it; loads only what is not there already.

        Raises DbtuiError if the base is not the one that they were trained on.
        """
        wanted = source.digests
        if source.base_fingerprint:
            check_base(source, base)
        held, models = self._trained, self._models
        if models is None or models.base != base or not set(held) <= set(wanted):
            self.forget()
            models, held = self._load(base), {}
        self._models = None  # while it is neither the one nor the other
        for component, digest in wanted.items():
            if held.get(component) != digest:
                load_weights(models.component(component), component, source.weights[component])
        if self._denoiser is not None and held != wanted:
            self._denoiser.refresh()
        self._models, self._trained = models, dict(wanted)
        return models

    def denoiser(self, say: Callable[[str], object]) -> GraphDenoiser | None:
        """What draws the model by a CUDA graph, kept as long as the model is; None if nothing can."""
        assert self._models is not None
        if self._denoiser is None:
            self._denoiser = graph_denoiser(self._models, True, say)
        else:
            self._denoiser.tell(say)
        return self._denoiser

    def _load(self, base: BaseModel) -> Models:
        if torch.cuda.is_available():
            models = load_models(base, torch.float16, "cuda")
        else:
            models = load_models(base, device="mps" if torch.backends.mps.is_available() else "cpu")
        for part in (models.unet, models.vae, models.text_encoder):
            part.requires_grad_(False).eval()
        return models
