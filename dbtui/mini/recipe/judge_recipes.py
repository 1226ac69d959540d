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
    "training.text_encoder_rate": 0.5,
}  # fmt: skip
"""What trains where there are class pictures."""

RECIPES: Mapping[str, Recipe] = {
    "preset-prior": Recipe(True),
    "preset": Recipe(False),
    "prior-250": Recipe(True, {"training.steps": 250}),
    "prior-300": Recipe(True, {"training.steps": 300}),
    "prior-300-cosine": Recipe(
        True, {"training.steps": 300, "training.schedule": "cosine", "training.learning_rate": 3e-4}
    ),
    "prior-250-guidance-3": Recipe(True, {"training.steps": 250, "prior.guidance": 3.0}),
    "prior-250-text-0.25": Recipe(True, {"training.steps": 250, "training.text_encoder_rate": 0.25}),
    "prior-250-16-pictures": Recipe(True, {"training.steps": 250, "prior.class_images": 16}),
    "300": Recipe(False, {"training.steps": 300}),
    "attention-300-cosine": Recipe(False, {**ATTENTION, "training.steps": 300}),
    "prior-250-48-pictures": Recipe(True, {"training.steps": 250, "prior.class_images": 48}),
    "prior-250-frozen-text": Recipe(True, {"training.steps": 250, "training.text_encoder": False}),
    "prior-250-weight-0.5": Recipe(True, {"training.steps": 250, "prior.weight": 0.5}),
    "unet": Recipe(False, PLAIN),
    "unet-prior": Recipe(True, PLAIN),
    "prior-cosine": Recipe(True, {"training.schedule": "cosine"}),
    "prior-all-layers": Recipe(
        True, {"training.layers": "all", "training.learning_rate": 1e-4, "training.text_encoder_rate": 1.0}
    ),
    "prior-150": Recipe(True, {"training.steps": 150}),
}

SEEDS = (34354, 1, 2)

FAVOURITES = 4
"""Recipes, the first, that are tried on the other subjects as well."""

CLASS_WORDS = ("toy", "sweet", "vehicle", "animal", "building", "tool", "monster", "bird", "food")
CLASS_GUIDANCE = (3.0, 5.0, 7.5)
"""Of the class pictures that are looked at by themselves."""


def jobs() -> Iterator[Job]:
    """All that is worth knowing, in the order of its worth: what stops early has still learned most."""
    yield from (Job(UNTAUGHT, subject, SEEDS[0]) for subject in SUBJECTS)
    for seed in SEEDS:
        yield from (Job(recipe, subject, seed) for recipe in RECIPES for subject in SUBJECTS)
        yield from (Job(recipe, subject, seed) for recipe in list(RECIPES)[:FAVOURITES] for subject in OTHERS)
