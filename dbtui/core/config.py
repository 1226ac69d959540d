"""Everything a run is asked to do: one frozen tree, the table of its parameters, TOML in and out."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from dbtui.core.errors import UsageError, printable
from dbtui.core.fields import AUTO, Field, Value, nearest, setting

VERSION = 1
"""Of the file format; a file of a later version is refused, not guessed at."""

DEFAULT_MODEL = "stable-diffusion-v1-5/stable-diffusion-v1-5"

NO_TRACKER = "none"
"""The value of ``training.track`` with which nothing but dbtui sees the run."""

SCHEDULERS = ("dpm++2m-karras", "unipc", "euler", "euler-a", "ddim", "pndm")


@dataclass(frozen=True, kw_only=True, slots=True)
class ConceptConfig:
    """What is taught."""

    name: str = setting("", "Name", "The concept's name in the library: letters, digits, '-' and '_'.")
    prompt: str = setting(
        "a photo of sks",
        "Prompt",
        "Describes the photos: a rare word for the subject and the plain word for its kind, "
        "as in 'a photo of sks dog'.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """What is taught to."""

    base: str = setting(
        DEFAULT_MODEL,
        "Base model",
        "'mini' (embedded), a folder in diffusers layout, a .safetensors or .ckpt file, or the id of a model of the hub.",
    )
    prediction: str = setting(
        AUTO, "Prediction", "What the UNet predicts; auto is what the model says. Single files of 2.x may not say.",
        choices=(AUTO, "epsilon", "v_prediction"), advanced=True,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """What is learned from."""

    folder: str = setting("", "Photos", "The folder with the photos of the subject; 3 to 10 are enough.")
    urls: list[str] = setting(
        [], "Web addresses", "Where the photos come from; downloaded where no folder is named.", advanced=True
    )
    exclude: list[str] = setting([], "Left out", "File names in the folder that are not used.", advanced=True)
    resolution: int | str = setting(
        AUTO, "Resolution", "Side of the square the photos are cut to; auto is the size the model was made for.",
        kind=int, unit="px", low=64, high=2048, auto=True,
    )  # fmt: skip
    center_crop: bool = setting(
        True, "Centre crop", "Cut the middle square; otherwise several squares along the longer side, one a step.",
        advanced=True,
    )  # fmt: skip
    flip: bool = setting(
        False, "Mirror", "Also learn from mirrored photos. Not for subjects with writing or a clear left and right.",
        advanced=True,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorConfig:
    """Prior preservation: pictures of the class beside the subject, so that the class does not drift."""

    enabled: bool = setting(
        False, "Prior preservation", "Learn from made pictures of the class too, so that not every dog becomes yours."
    )
    class_prompt: str = setting("", "Class prompt", "The prompt without the rare word, as in 'a photo of a dog'.")
    class_images: int = setting(
        100, "Class pictures", "How many are made with the base model, once; later runs share them.",
        low=1, high=10_000,
    )  # fmt: skip
    weight: float = setting(
        1.0, "Prior weight", "How much the class pictures count against the photos.", low=0, high=10, advanced=True
    )
    batch_size: int | str = setting(
        AUTO, "Class batch", "Class pictures made at a time; auto is as many as memory holds.",
        kind=int, low=1, high=64, auto=True, advanced=True,
    )  # fmt: skip
    steps: int = setting(
        20, "Class sampling steps", "Denoising steps for each class picture.", low=1, high=1000, advanced=True
    )
    guidance: float = setting(
        7.5, "Class guidance", "Guidance scale of the class pictures.", low=0, high=50, advanced=True
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How it is learned."""

    steps: int = setting(
        500, "Steps", "Optimizer steps. Too few: the subject is vague; too many: every picture is one of the photos.",
        low=1, high=1_000_000,
    )  # fmt: skip
    learning_rate: float = setting(
        5e-6, "Learning rate", "Size of each step. Higher learns faster and forgets more of the base model.",
        low=0, high=1, least_open=True,
    )  # fmt: skip
    batch_size: int = setting(2, "Batch size", "Photos at a time; more need more memory.", low=1, high=64)
    accumulation: int = setting(
        1, "Accumulation", "Batches added up to one optimizer step: a larger batch in the same memory.",
        low=1, high=256, advanced=True,
    )  # fmt: skip
    layers: str = setting(
        "all", "Layers", "What of the UNet learns: all of it, or only its attention blocks, which keep the class apart.",
        choices=("all", "attention"), advanced=True,
    )  # fmt: skip
    text_encoder: bool = setting(
        False, "Train text encoder", "Also teach the part that reads the prompt. Better likeness, more memory."
    )
    text_encoder_rate: float = setting(
        1.0, "Text encoder rate", "The text encoder's learning rate as a multiple of the learning rate.",
        low=0, high=1000, least_open=True, advanced=True,
    )  # fmt: skip
    precision: str = setting(
        AUTO, "Precision", "bf16 and fp16 halve memory and time on a GPU; 'no' is full 32 bit; auto takes the best.",
        choices=("no", "fp16", "bf16"), auto=True,
    )  # fmt: skip
    optimizer: str = setting(
        AUTO, "Optimizer", "adamw, or adamw8bit, which keeps its state in a quarter of the memory; auto picks.",
        choices=("adamw", "adamw8bit"), auto=True,
    )  # fmt: skip
    gradient_checkpointing: bool | str = setting(
        AUTO, "Gradient checkpointing", "Half the memory for a third more time; auto turns it on only where needed.",
        kind=bool, auto=True,
    )  # fmt: skip
    graph: bool | str = setting(
        AUTO, "CUDA graph", "The whole step in one launch, several times as fast; auto where GPU and parameters allow.",
        kind=bool, auto=True, advanced=True,
    )  # fmt: skip
    schedule: str = setting(
        "constant", "LR schedule", "How the learning rate goes on: the same throughout, or down to zero.",
        choices=("constant", "linear", "cosine"), advanced=True,
    )  # fmt: skip
    warmup_steps: int = setting(
        0, "Warm-up", "Steps over which the learning rate rises to its value.",
        unit="steps", low=0, high=100_000, advanced=True,
    )  # fmt: skip
    weight_decay: float = setting(
        0.01, "Weight decay", "Pull of the weights towards zero.", low=0, high=1, advanced=True
    )
    max_grad_norm: float = setting(
        1.0, "Gradient norm", "Longer gradients are cut to this length; 0 never cuts.", low=0, high=1000, advanced=True
    )
    min_snr_gamma: float = setting(
        0.0, "Min-SNR gamma", "Weigh timesteps by signal to noise up to this value (5 is usual); 0 weighs all alike.",
        low=0, high=100, advanced=True,
    )  # fmt: skip
    ema: bool = setting(
        False, "EMA", "Keep a moving average of the weights and store that. Smoother; needs memory for a copy.",
        advanced=True,
    )  # fmt: skip
    ema_decay: float = setting(
        0.999, "EMA decay", "Share of the average that each step keeps.", low=0, high=0.99999, advanced=True
    )
    seed: int = setting(34354, "Seed", "Start of every random draw.", low=0, high=2**63 - 1, advanced=True)
    checkpoint_every: int | str = setting(
        AUTO, "Checkpoint every", "A stop that a run can be resumed from; auto is each five minutes, 0 saves only when stopped.",
        kind=int, unit="steps", low=0, high=1_000_000, auto=True,
    )  # fmt: skip
    checkpoints_kept: int = setting(
        2, "Checkpoints kept", "Older ones are removed once a newer one has been verified.",
        low=1, high=1000, advanced=True,
    )  # fmt: skip
    processes: int | str = setting(
        1, "Processes", "Each on a GPU of its own, with a batch of its own in every step; auto is one for each GPU.",
        kind=int, low=1, high=64, auto=True, advanced=True,
    )  # fmt: skip
    track: str = setting(
        NO_TRACKER, "Tracker", "What else is told of losses and samples: tensorboard and trackio write files here, wandb is a service.",
        choices=(NO_TRACKER, "tensorboard", "wandb", "trackio"), advanced=True,
    )  # fmt: skip

    @property
    def batches_per_step(self) -> int:
        """Batches that one optimizer step learns from, whichever process computes them."""
        return (1 if self.processes == AUTO else int(self.processes)) * self.accumulation

    @property
    def photos_per_step(self) -> int:
        """Photos that one optimizer step learns from."""
        return self.batches_per_step * self.batch_size


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingConfig:
    """What is shown while it learns."""

    every: int = setting(
        100, "Sample every", "A grid from the weights as they are then; 0 for none.",
        unit="steps", low=0, high=1_000_000,
    )  # fmt: skip
    prompts: list[str] = setting([], "Sample prompts", "One row each; none is the concept's prompt.")
    count: int = setting(4, "Pictures a prompt", "Pictures in a row, each from noise of its own.", low=1, high=16)
    steps: int = setting(25, "Sampling steps", "Denoising steps.", low=1, high=1000, advanced=True)
    guidance: float = setting(7.5, "Guidance", "How closely the prompt is followed.", low=0, high=50, advanced=True)
    scheduler: str = setting(
        "dpm++2m-karras", "Scheduler", "How noise becomes a picture.", choices=SCHEDULERS, advanced=True
    )
    graph: bool = setting(
        True, "Graph sampling",
        "On an NVIDIA GPU, draw samples and class pictures in 16 bit by one CUDA graph a step, which is faster. It is "
        "compared with the plain way first, which draws if they differ.",
        advanced=True,
    )  # fmt: skip
    seed: int = setting(
        0, "Sample seed", "The same seed gives the same noise in every grid.", low=0, high=2**63 - 1, advanced=True
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The whole of what a run is asked to do."""

    concept: ConceptConfig = ConceptConfig()
    model: ModelConfig = ModelConfig()
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    prior: PriorConfig = PriorConfig()
    training: TrainingConfig = TrainingConfig()
    sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)

    def __getitem__(self, key: str) -> Value:
        section, name = FIELDS[key].section, FIELDS[key].name
        return getattr(getattr(self, section), name)

    def replace(self, changes: Mapping[str, Value]) -> Config:
        """A copy with ``{"training.steps": 300}`` changed. Raises UsageError."""
        sections: dict[str, dict[str, Value]] = {}
        for key, value in changes.items():
            spec = find_field(key)
            sections.setdefault(spec.section, {})[spec.name] = spec.check(value)
        return dataclasses.replace(
            self,
            **{s: dataclasses.replace(getattr(self, s), **values) for s, values in sections.items()},  # type: ignore[arg-type]
        )

    def check(self) -> Config:
        """This config, if its parts fit together. Raises UsageError."""
        concept, prior, training = self.concept, self.prior, self.training
        if not concept.prompt.strip():
            raise UsageError(
                "The prompt is empty", "concept.prompt has no words.", "Say --prompt 'a photo of sks dog'."
            )
        if prior.enabled and not prior.class_prompt.strip():
            raise UsageError(
                "Prior preservation needs a class prompt",
                "prior.enabled is true and prior.class_prompt is empty.",
                "Say --class-prompt 'a photo of a dog', or --set prior.enabled=false.",
            )
        if prior.enabled and prior.class_prompt.strip().lower() == concept.prompt.strip().lower():
            raise UsageError(
                "The class prompt is the prompt",
                "Prior preservation compares the subject with its class; both prompts are the same.",
                "Leave the rare word out of the class prompt: 'a photo of a dog'.",
            )
        if training.warmup_steps > training.steps:
            raise UsageError(
                "training.warmup_steps is more than training.steps",
                f"{training.warmup_steps} of {training.steps} steps.",
                "The learning rate would never reach its value.",
            )
        if any(not prompt.strip() for prompt in self.sampling.prompts):
            raise UsageError("A sample prompt is empty", "sampling.prompts has an entry without words.", "Remove it.")
        return self

    def to_toml(self) -> str:
        """Every parameter with its value, each under a comment that says what it is."""
        lines = [f"version = {VERSION}"]
        for section, fields in SECTIONS.items():
            lines += ["", f"[{section}]"]
            for spec in fields:
                unit = f" {spec.unit}" if spec.unit else ""
                lines.append(f"# {spec.label}: {spec.help} ({spec.range}{unit})")
                lines.append(tomli_w.dumps({spec.name: self[spec.key]}).rstrip())
        return "\n".join(lines) + "\n"

    @classmethod
    def from_toml(cls, text: str, onto: Config | None = None) -> Config:
        """``onto`` (the defaults) with what ``text`` says. Raises UsageError."""
        try:
            tree = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise UsageError(
                "The config is not TOML", f"{printable(error)}.", "See `dbtui train --print-config`."
            ) from error
        version = tree.pop("version", VERSION)
        if version != VERSION:
            raise UsageError(
                "The config is of another version",
                f"It says version {printable(repr(version))}; this program reads version {VERSION}.",
                "Make a new one with `dbtui train --print-config`.",
            )
        changes: dict[str, Value] = {}
        for section, values in tree.items():
            if not isinstance(values, dict):
                raise unknown(section, FIELDS)
            if section not in SECTIONS:
                raise unknown(section, SECTIONS)
            for name, value in values.items():
                find_field(f"{section}.{name}")
                changes[f"{section}.{name}"] = value
        return (onto or cls()).replace(changes)

    @classmethod
    def read(cls, path: Path, onto: Config | None = None) -> Config:
        """The config in the file ``path``. Raises UsageError."""
        return cls.from_toml(read_config(path), onto)


def read_config(path: Path) -> str:
    """The text of the config in the file ``path``, without the mark that some editors begin it with. Raises UsageError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "not in UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror or error
        raise UsageError(
            "The config cannot be read", f"{printable(path)}: {printable(why)}.", "See `dbtui train --print-config`."
        ) from error


def _table() -> dict[str, tuple[Field, ...]]:
    sections = {}
    for section in dataclasses.fields(Config):
        factory = section.default_factory if section.default is dataclasses.MISSING else type(section.default)
        sections[section.name] = tuple(
            Field(section=section.name, name=part.name, **part.metadata["setting"])
            for part in dataclasses.fields(factory)  # type: ignore[arg-type]
        )
    return sections


SECTIONS: dict[str, tuple[Field, ...]] = _table()
"""The table of parameters by section, in the order of the form."""

FIELDS: dict[str, Field] = {spec.key: spec for fields in SECTIONS.values() for spec in fields}
"""The table of parameters by key."""


def find_field(key: str) -> Field:
    """The parameter called ``key``. Raises UsageError with the nearest name."""
    if key not in FIELDS:
        raise unknown(key, FIELDS)
    return FIELDS[key]


def unknown(word: str, known: Mapping[str, object]) -> UsageError:
    near = nearest(word, known)
    hint = f"Did you mean {near!r}?" if near else "`dbtui train --parameters` lists them."
    return UsageError(f"There is no parameter {printable(word)!r}", "Unknown names are refused, not ignored.", hint)


def parse_assignment(text: str) -> tuple[str, Value]:
    """``training.steps=300`` as a key and a checked value. Raises UsageError."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(
            f"--set {printable(text)} has no '='",
            "A parameter is set as section.field=value.",
            "--set training.steps=300",
        )
    return key.strip(), find_field(key.strip()).parse(value)
