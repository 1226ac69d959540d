"""Teaches one subject as the program does, and has the pictures judged that it draws then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from dbtui.core.base_model import find_model
from dbtui.core.fields import Value
from dbtui.core.journal import JournalWriter
from dbtui.core.presets import preset_config
from dbtui.engine.models import Models, load_models
from dbtui.engine.narrator import Narrator
from dbtui.engine.prepare import prepare
from dbtui.engine.sampler import Drawing, Settings, draw, drawing_mode
from dbtui.engine.stopping import StopFlag
from dbtui.jobs.begin import begin, check
from dbtui.mini.recipe.emoji import Emoji
from dbtui.mini.recipe.judge import Judge, Verdict, look
from dbtui.mini.recipe.judge_recipes import Recipe
from dbtui.mini.recipe.judge_subjects import Exam
from dbtui.mini.recipe.words import members

DRAWN = Settings(resolution=128, steps=20, guidance=7.5)

BYSTANDERS = ("cat face", "bicycle", "hamburger", "penguin")
"""What has nothing to do with any subject, and should be drawn as before."""

Pictures = Mapping[str, Sequence[Image.Image]]
"""By what they were drawn for."""


def prompts(exam: Exam, scenes: Sequence[str]) -> dict[str, list[str]]:
    """What is asked of a model that was taught and knows ``scenes``, by what it tells."""
    taught, of_class = exam.subject.prompt, exam.subject.class_prompt
    sks = taught.removeprefix("a photo of ")
    return {
        "plain": [taught] * 8,
        "scene": [f"{taught} {scene}" for scene in scenes],
        "words": [f"a small {sks} on a blue background", f"a close up of {sks}", f"a picture of {sks} on a red background", sks],
        "pair": [f"{sks} next to a pizza", f"a cat face and {sks}", f"{sks} riding a bicycle", f"{sks} on top of a drum"],
        "class": [of_class] * 8,
        "class scene": [f"{of_class} {scene}" for scene in scenes[::4]],
        "bystander": [f"a photo of a {name}" for name in BYSTANDERS],
    }  # fmt: skip


def teach(model: Path, exam: Exam, recipe: Recipe, seed: int, changes: Mapping[str, Value]) -> Models:
    """The model with the subject in it, by the program's own steps; ``changes`` come last."""
    subject = exam.subject
    config = preset_config("mini", recipe.prior).replace(
        {
            **recipe.changes,
            "model.base": str(model),
            "data.folder": str(exam.folder),
            "concept.prompt": subject.prompt,
            "prior.enabled": recipe.prior,
            "prior.class_prompt": subject.class_prompt,
            "training.seed": seed,
            **changes,
        }
    )
    run = begin(check(config))
    narrator, stop = Narrator(JournalWriter(run.journal)), StopFlag(run)
    learner, examples, _ = prepare(run, narrator, stop)
    for step in range(run.config.training.steps):
        learner.step(step, list(examples.of_step(step))).outcome()
    return learner.models


def untaught(model: Path) -> Models:
    """The model as it is, on the GPU if there is one."""
    return load_models(find_model(str(model))).to("cuda" if torch.cuda.is_available() else "cpu")


def drawn(
    models: Models, exam: Exam, scenes: Sequence[str], settings: Settings = DRAWN
) -> dict[str, list[Image.Image]]:
    """The pictures of ``prompts``; those of one group are drawn from seeds 0, 1, 2, ..."""
    asked = prompts(exam, scenes)
    drawings = [Drawing(prompt, 1000 + seed) for group in asked.values() for seed, prompt in enumerate(group)]
    with drawing_mode(models.unet, models.text_encoder):
        images = iter(list(draw(models, drawings, settings)))
    return {name: [next(images) for _ in group] for name, group in asked.items()}


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares of the pictures: that show the subject, by what was asked; whose scene is right; what became of the rest."""

    plain: float
    scene: float
    words: float
    pair: float
    scene_right: float
    drift: float
    drift_in_scenes: float
    bystanders: float
    """That are still what they were asked to be."""
    class_kinds: int
    """How many different objects the pictures of the class show."""
    class_sure: float
    """Mean probability of what they show."""


def judged(judge: Judge, pictures: Pictures, exam: Exam, scenes: Sequence[str], emoji: Emoji) -> Figures:
    """The judge's figures on ``drawn``."""
    said = {name: look(judge, images) for name, images in pictures.items()}
    names = [emoji.index(name) for name in BYSTANDERS]
    kept = [verdict.shows(name) for verdict, name in zip(said["bystander"], names, strict=True)]
    right = [verdict.scene == scene for verdict, scene in zip(said["scene"], scenes, strict=True)]
    return Figures(
        plain=_share(said["plain"], exam.emoji),
        scene=_share(said["scene"], exam.emoji),
        words=_share(said["words"], exam.emoji),
        pair=_share(said["pair"], exam.emoji, among=2),
        scene_right=sum(right) / len(right),
        drift=_share(said["class"], exam.emoji),
        drift_in_scenes=_share(said["class scene"], exam.emoji),
        bystanders=sum(kept) / len(kept),
        class_kinds=len({verdict.objects[0] for verdict in said["class"]}),
        class_sure=sum(verdict.probability for verdict in said["class"]) / len(said["class"]),
    )


def _share(verdicts: Sequence[Verdict], emoji: int, among: int = 1) -> float:
    return sum(verdict.shows(emoji, among) for verdict in verdicts) / len(verdicts)


def judged_class(
    judge: Judge, models: Models, word: str, guidance: float, emoji: Emoji, count: int
) -> dict[str, float]:
    """How clean and varied ``count`` pictures of a class are: of its members, surely told, of how many kinds."""
    article = "an" if word[0] in "aeiou" else "a"
    drawings = [Drawing(f"a photo of {article} {word}", seed) for seed in range(count)]
    settings = Settings(resolution=DRAWN.resolution, steps=DRAWN.steps, guidance=guidance)
    verdicts = look(judge, list(draw(models, drawings, settings)))
    examples = set(members(emoji.names, emoji.kinds, range(len(emoji.names)))[word])
    return {
        "members": sum(v.objects[0] in examples for v in verdicts) / count,
        "sure": sum(v.probability for v in verdicts) / count,
        "kinds": len({v.objects[0] for v in verdicts}),
    }
