"""The ways of teaching that are tried, the most important first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    "training.text_encoder_rate": 1.0, "training.schedule": "constant", "training.layers": "all", "training.steps": 200,
    "training.learning_rate": 5e-5, "training.text_encoder": False, "training.min_snr_gamma": 0.0,
}  # fmt: skip
"""Full UNet at the rate that was measured first."""

EVERYTHING = {**PLAIN, "training.learning_rate": 1e-4, "training.text_encoder": True}
"""UNet and text encoder."""

ATTENTION = {
    "training.layers": "attention", "training.learning_rate": 2e-4, "training.schedule": "constant",
    "training.text_encoder": True, "training.text_encoder_rate": 0.5, "training.steps": 250, "training.min_snr_gamma": 0.0,
}  # fmt: skip
"""The attention blocks, and the text encoder at half their rate."""

COOLED = {**ATTENTION, "training.schedule": "cosine", "training.steps": 300, "training.learning_rate": 3e-4}
"""The same at a rate that is high at first and nothing in the end."""

FROZEN = {**ATTENTION, "training.text_encoder": False}

RECIPES: Mapping[str, Recipe] = {
    "preset-prior": Recipe(True),
    "preset": Recipe(False),
    "unet": Recipe(False, PLAIN),
    "everything": Recipe(False, {**EVERYTHING, "training.schedule": "cosine"}),
    "everything-300": Recipe(False, {**EVERYTHING, "training.schedule": "cosine", "training.steps": 300}),
    "frozen": Recipe(False, FROZEN),
    "unet-prior": Recipe(True, PLAIN),
    "everything-prior": Recipe(True, EVERYTHING),
    "prior-150": Recipe(True, {**ATTENTION, "training.steps": 150}),
    "prior-200": Recipe(True, {**ATTENTION, "training.steps": 200}),
    "prior-200-cosine": Recipe(True, {**ATTENTION, "training.schedule": "cosine", "training.steps": 200}),
    "prior": Recipe(True, ATTENTION),
    "prior-300": Recipe(True, {**ATTENTION, "training.steps": 300}),
    "prior-300-cosine-3e-4": Recipe(True, COOLED),
    "prior-250-cosine-3e-4": Recipe(True, {**COOLED, "training.steps": 250}),
    "prior-200-cosine-4e-4": Recipe(True, {**COOLED, "training.steps": 200, "training.learning_rate": 4e-4}),
    "prior-400-cosine-single": Recipe(
        True, {**COOLED, "training.steps": 400, "training.batch_size": 1, "training.learning_rate": 2e-4}
    ),
    "prior-300-cosine-single": Recipe(True, {**COOLED, "training.batch_size": 1}),
    "prior-250-cosine-light": Recipe(True, {**COOLED, "training.steps": 250, "prior.weight": 0.5}),
    "prior-200-cosine-snr": Recipe(True, {**COOLED, "training.steps": 200, "training.min_snr_gamma": 5.0}),
    "prior-200-snr": Recipe(True, {**ATTENTION, "training.steps": 200, "training.min_snr_gamma": 5.0}),
    "prior-frozen-snr": Recipe(True, {**FROZEN, "training.min_snr_gamma": 5.0}),
    "prior-text-0.25": Recipe(True, {**ATTENTION, "training.text_encoder_rate": 0.25}),
    "prior-16-pictures": Recipe(True, {**ATTENTION, "prior.class_images": 16}),
    "prior-48-pictures": Recipe(True, {**ATTENTION, "prior.class_images": 48}),
    "prior-guidance-3": Recipe(True, {**ATTENTION, "prior.guidance": 3.0}),
    "prior-frozen": Recipe(True, FROZEN),
    "prior-frozen-300": Recipe(True, {**FROZEN, "training.steps": 300}),
    "prior-frozen-12-steps": Recipe(True, {**FROZEN, "training.steps": 300, "prior.steps": 12}),
}

SEEDS = (34354, 1, 2)

FAVOURITES = 2
"""Recipes, the first, that are tried on the other subjects as well."""

CLASS_WORDS = ("toy", "sweet", "vehicle", "animal", "building", "tool", "monster", "bird", "food")
CLASS_GUIDANCE = (3.0, 5.0, 7.5)
"""Of the class pictures that are looked at by themselves."""


def jobs(only: Sequence[str] = ()) -> Iterator[Job]:
    """All that is worth knowing, in the order of its worth: what stops early has still learned most.

    With ``only`` some recipes, each on all subjects.
    """
    recipes, favourites = (only, only) if only else (list(RECIPES), list(RECIPES)[:FAVOURITES])
    yield from (Job(UNTAUGHT, subject, SEEDS[0]) for subject in SUBJECTS)
    for seed in SEEDS:
        yield from (Job(recipe, subject, seed) for recipe in recipes for subject in SUBJECTS)
        yield from (Job(recipe, subject, seed) for recipe in favourites for subject in OTHERS)
