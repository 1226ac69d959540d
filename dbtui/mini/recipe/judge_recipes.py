"""The ways of teaching that are tried, the most important first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dbtui.core.fields import Value
from dbtui.core.subjects import SUBJECTS
from dbtui.mini.recipe.judge_subjects import OTHERS


@dataclass(frozen=True, slots=True)
class Recipe:
    """``changes`` to the preset for the embedded model, with or without prior preservation."""

    prior: bool
    changes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """One subject taught by one recipe from one seed; by none, the model as it is."""

    recipe: str
    subject: str
    seed: int

    @property
    def key(self) -> str:
        return f"{self.recipe}_{self.subject}_{self.seed}"


UNTAUGHT = "untaught"

PLAIN = {
    "training.text_encoder_rate": 1.0, "training.schedule": "constant", "training.layers": "all",
    "training.learning_rate": 5e-5, "training.text_encoder": False,
}  # fmt: skip
"""Full UNet at the rate that was measured first."""

ATTENTION = {
    "training.layers": "attention", "training.learning_rate": 2e-4, "training.text_encoder": True,
    "training.text_encoder_rate": 0.5, "training.schedule": "constant",
}  # fmt: skip

RECIPES: Mapping[str, Recipe] = {
    "preset": Recipe(False),
    "preset-prior": Recipe(True),
    "unet": Recipe(False, PLAIN),
    "unet-prior": Recipe(True, PLAIN),
    "prior-cosine": Recipe(True, {"training.schedule": "cosine"}),
    "prior-frozen-text": Recipe(True, {"training.text_encoder": False}),
    "prior-1e-4": Recipe(True, {"training.learning_rate": 1e-4, "training.text_encoder_rate": 1.0}),
    "prior-3e-4": Recipe(True, {"training.learning_rate": 3e-4, "training.schedule": "cosine"}),
    "prior-16-pictures": Recipe(True, {"prior.class_images": 16}),
    "prior-48-pictures": Recipe(True, {"prior.class_images": 48}),
    "prior-guidance-3": Recipe(True, {"prior.guidance": 3.0}),
    "prior-guidance-7.5": Recipe(True, {"prior.guidance": 7.5}),
    "attention": Recipe(False, ATTENTION),
    "attention-cosine": Recipe(False, {**ATTENTION, "training.schedule": "cosine"}),
    "prior-150-steps": Recipe(True, {"training.steps": 150}),
    "prior-weight-0.5": Recipe(True, {"prior.weight": 0.5}),
    "prior-all-layers": Recipe(
        True, {"training.layers": "all", "training.learning_rate": 1e-4, "training.text_encoder_rate": 1.0}
    ),
    "prior-all-cosine": Recipe(
        True,
        {
            "training.layers": "all",
            "training.learning_rate": 1e-4,
            "training.text_encoder_rate": 1.0,
            "training.schedule": "cosine",
        },
    ),
    "prior-text-1": Recipe(True, {"training.text_encoder_rate": 1.0}),
    "prior-text-0.25": Recipe(True, {"training.text_encoder_rate": 0.25}),
    "prior-snr": Recipe(True, {"training.min_snr_gamma": 5.0}),
    "prior-weight-2": Recipe(True, {"prior.weight": 2.0}),
    "prior-frozen-3e-4": Recipe(True, {"training.text_encoder": False, "training.learning_rate": 3e-4}),
    "attention-150": Recipe(False, {**ATTENTION, "training.schedule": "cosine", "training.steps": 150}),
    "unet-1e-4-cosine": Recipe(False, {**PLAIN, "training.learning_rate": 1e-4, "training.schedule": "cosine"}),
}

SEEDS = (34354, 1, 2)

CLASS_WORDS = ("toy", "sweet", "vehicle", "animal", "building", "tool", "monster", "bird", "food")
CLASS_GUIDANCE = (3.0, 5.0, 7.5)
"""Of the class pictures that are looked at by themselves."""


def jobs() -> Iterator[Job]:
    """All that is worth knowing, in the order of its worth: what stops early has still learned most."""
    first, second, third = SEEDS
    base = ("preset-prior", "preset")
    yield from (Job(UNTAUGHT, subject, first) for subject in SUBJECTS)
    yield from (Job(recipe, subject, seed) for seed in (first, second) for recipe in base for subject in SUBJECTS)
    yield from (Job(recipe, subject, first) for recipe in RECIPES if recipe not in base for subject in SUBJECTS)
    yield from (Job(recipe, subject, first) for recipe in base for subject in OTHERS)
    yield from (Job(recipe, subject, seed) for seed in (second, third) for recipe in RECIPES for subject in SUBJECTS)
    yield from (Job(recipe, subject, seed) for seed in SEEDS for recipe in RECIPES for subject in OTHERS)
