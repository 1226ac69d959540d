"""The memory of a run on its device: what each phase holds at its worst moment, by part.

The tensors are counted from the architecture; the few constants are what a GPU was seen to take beside them
(docs/estimate.md has the measurements).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dbtui.core.architecture import Architecture, Layer
from dbtui.core.config import Config, TrainingConfig
from dbtui.core.fields import AUTO

MIB = 2**20

OPTIMIZER_BYTES = {"adamw": 8.0, "adamw8bit": 2.05}
"""For each trained parameter: two moments in 32 bit, or in 8 bit with a 32-bit scale for every 256."""

CONTEXT = {"cuda": 800 * MIB, "mps": 600 * MIB, "cpu": 440 * MIB}
"""What the driver and the libraries take before the first tensor; on the CPU, the program itself."""

WORKSPACE = {"cuda": 128 * MIB, "mps": 128 * MIB, "cpu": 64 * MIB}
"""What matrix products borrow, and the tensors too small to count."""

FRAGMENTATION = {"cuda": 0.02, "mps": 0.02, "cpu": 0.15}
"""What the allocator holds and cannot give out, as a share of the tensors' memory."""

TRANSIENT = 0.6
"""What a layer's backward pass holds for a moment, as a multiple of what the layer had kept."""

ENCODING, DECODING = 3.0, {"full": 4.8, "mixed": 3.4, "fused": 3.4}
"""What the VAE holds at once for a picture, as a multiple of its widest tensor in 32 bit."""


DRAWN = {"cuda": 1, "mps": 4, "cpu": 4}
"""Pictures that are drawn at a time for certain: on a GPU of NVIDIA's a batch that does not fit is halved."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a step is computed: bytes of a trained component's parameter, its gradient, and its 16-bit copy."""

    weights: float
    gradients: float
    copies: float
    kept: str
    """The field of ``Kept`` that counts its activations."""
    state: float = 0.0
    """Of a trained parameter, beside the optimizer's moments."""
    passing: float = 0.0
    """Of a layer's parameter, while its gradient is on the way to the machine's memory."""
    rest: float = 4.0
    """Of a parameter of a component that is not trained."""


ARITHMETIC = {
    "full": Arithmetic(weights=4, gradients=4, copies=0, kept="full"),
    "autocast": Arithmetic(weights=4, gradients=4, copies=2, kept="mixed"),
    # 16-bit weights; the bits that they lack of 32 are with the optimizer.
    "graph": Arithmetic(weights=2, gradients=2, copies=0, kept="fused", state=2),
    # The same, and the gradients are not on the GPU.
    "lean": Arithmetic(weights=2, gradients=0, copies=0, kept="fused", state=2, passing=2, rest=2),
}


def arithmetic(training: TrainingConfig, device: str) -> str:
    """Which arithmetic the trainer uses; auto counts as on a GPU that has bf16."""
    if training.precision == "no" or (training.precision == AUTO and device != "cuda"):
        return "full"
    split = training.precision in ("bf16", AUTO) and device == "cuda" and training.graph is not False
    if not split or training.ema:
        return "autocast"
    if training.optimizer != "adamw":
        return "lean" if training.graph is True and training.processes == 1 else "autocast"
    return "autocast" if training.gradient_checkpointing else "graph"


def _total(parts: dict[str, float]) -> float:
    return sum(parts.values())


@dataclass(frozen=True, slots=True)
class Moment:
    """Bytes while one layer of a step is worked on."""

    gradients: float
    copies: float
    activations: float

    @property
    def total(self) -> float:
        return self.gradients + self.copies + self.activations


class Memory:
    """The memory of a config, with all that the config implies for one architecture and device."""

    def __init__(self, config: Config, architecture: Architecture, device: str) -> None:
        training = config.training
        self.config, self.architecture, self.device = config, architecture, device
        self.resolution = resolution_of(config, architecture)
        way = arithmetic(training, device)
        self.way, self.graph = ARITHMETIC[way], way == "graph"
        self.checkpointing = bool(training.gradient_checkpointing)  # auto too
        layers = [
            (layer, config.training.batch_size * (2 if config.prior.enabled else 1), layer.attention)
            for layer in architecture.unet(self.resolution)
        ]
        words = [(layer, 2 if config.prior.enabled else 1, True) for layer in architecture.text_encoder()]
        chain = (words if training.text_encoder else []) + layers
        if training.layers == "all":
            chain = [(layer, count, True) for layer, count, _ in chain]
        first = next(i for i, (_, _, learns) in enumerate(chain) if learns)
        self.chain = chain[first:]
        """Layers, how many pictures or prompts go through each at a time, and whether it learns.

        From the first that learns: nothing is kept for the backward pass before it.
        """
        self.trained = sum(layer.parameters for layer, _, learns in self.chain if learns)

    def phases(self) -> dict[str, dict[str, float]]:
        """Bytes by part at the worst moment of each phase."""
        training = self.training()
        phases = {"encoding": self.encoding(), "training": training}
        return {**phases, "sampling": self.sampling(training)} if self.config.sampling.every else phases

    def training(self) -> dict[str, float]:
        worst = max(self.moments(), key=lambda moment: moment.total)
        parts = {
            **self.resident(),
            "gradients": worst.gradients,
            "16-bit copies": worst.copies,
            "activations": worst.activations,
        }
        return self._with_overhead(parts)

    def resident(self) -> dict[str, float]:
        """What stays from step to step."""
        training, parameters = self.config.training, self.architecture.parameters
        trained = ["unet"] + (["text_encoder"] if training.text_encoder else [])
        moments = OPTIMIZER_BYTES["adamw" if training.optimizer == "adamw" else "adamw8bit"]
        return {
            "weights": sum(
                count * (self.way.weights if part in trained else self.way.rest) for part, count in parameters.items()
            ),
            "optimizer": (moments + self.way.state) * self.trained,
            "average": 4.0 * self.trained if training.ema else 0.0,
        }

    def _with_overhead(self, parts: dict[str, float]) -> dict[str, float]:
        held = FRAGMENTATION[self.device] * _total(parts)
        outside = "program" if self.device == "cpu" else "driver"
        return {**parts, "fragmentation": held, "workspace": WORKSPACE[self.device], outside: CONTEXT[self.device]}

    def moments(self) -> Iterator[Moment]:
        """The optimizer step, the end of the forward pass, and each layer of the backward pass."""
        whole = self.way.gradients * self.trained
        yield Moment(whole, 0.0, 0.0)
        kept = sum(count * self._kept(layer, self.checkpointing) for layer, count, _ in self.chain)
        # Without checkpointing the backward pass needs all of them; with it only autocast keeps some, of what learns.
        copies = self._copies(layer for layer, _, learns in self.chain if learns or not self.checkpointing)
        # Further batches of a step find the gradients of the first in place; in a CUDA graph they outlive the
        # activations, and so take none of their room.
        in_place = self.config.training.accumulation > 1 or self.graph
        gradients = whole if in_place else 0.0
        yield Moment(gradients, copies, kept)
        for layer, count, learns in reversed(self.chain):
            working, at_rest = count * self._kept(layer, False), count * self._kept(layer, self.checkpointing)
            own = self._copies([layer])
            # With checkpointing the layer is computed again, and only its own copies are there.
            passing = self.way.passing * layer.parameters if learns else 0.0
            yield Moment(
                gradients + passing,
                own if self.checkpointing else copies,
                kept - at_rest + working + TRANSIENT * working,
            )
            kept, copies = kept - at_rest, copies - own
            if learns and not in_place:
                gradients += self.way.gradients * layer.parameters

    def _copies(self, layers: Iterable[Layer]) -> float:
        return self.way.copies * sum(layer.parameters for layer in layers)

    def _kept(self, layer: Layer, checkpointed: bool) -> float:
        return getattr(layer.entry if checkpointed else layer.kept, self.way.kept)

    def encoding(self) -> dict[str, float]:
        """A photo at a time, in 32 bit, before anything is trained."""
        weights = 4.0 * sum(self.architecture.parameters.values())
        return self._with_overhead({"weights": weights, "activations": self._autoencoder(ENCODING)})

    def sampling(self, training: dict[str, float]) -> dict[str, float]:
        """As many pictures at a time as are drawn for certain, beside what the training keeps.

        What a CUDA graph works in belongs to it for good.
        """
        parts = self.resident()
        if self.graph:
            parts["graph"] = training["gradients"] + training["activations"]
        unet = self.architecture.unet(self.resolution)
        skips = sum(self._kept(layer, True) for layer in unet[: len(unet) // 2])
        drawing = 2 * (skips + max(self._kept(layer, False) for layer in unet))
        parts["16-bit copies"] = self._copies(layer for layer, _, learns in self.chain if learns)
        asked = self.config.sampling.count * max(1, len(self.config.sampling.prompts))
        pictures = min(DRAWN[self.device], asked)
        parts["activations"] = pictures * max(drawing, self._autoencoder(DECODING[self.way.kept]))
        return self._with_overhead(parts)

    def _autoencoder(self, times: float) -> float:
        """Bytes that the VAE works in; its widest tensor has the second level's channels at full resolution."""
        return times * 4.0 * self.resolution**2 * self.architecture.vae_channels[:2][-1]


def resolution_of(config: Config, architecture: Architecture) -> int:
    """In pixels; what is still auto is the size that most models are made for."""
    asked = config.data.resolution
    return 64 * architecture.latent_factor if asked == AUTO else int(asked)


def trained_parameters(config: Config, architecture: Architecture) -> int:
    """That learn: all of the UNet or its attention, and the text encoder if that does."""
    everything = config.training.layers == "all"
    unet = architecture.unet(resolution_of(config, architecture))
    words = architecture.text_encoder() if config.training.text_encoder else ()
    return sum(layer.parameters for layer in unet if everything or layer.attention) + sum(w.parameters for w in words)
