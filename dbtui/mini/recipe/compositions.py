"""What a training picture shows, and the caption that says so."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from random import Random

from dbtui.mini.recipe.scenes import COLOURS, LIGHTS, OUTDOORS, SCENES, VARIANTS
from dbtui.mini.recipe.words import (
    INDIVIDUALS_PER_WORD,
    NOT_INDIVIDUAL,
    POOR_EXAMPLES,
    RARE_WORDS,
    class_weight,
    members,
    with_article,
)
from dbtui.mini.recipe.words import KIND_WEIGHTS as WEIGHTS

CHUNK = 4096
"""Compositions that are drawn from one seed, so that they do not depend on the number of processes."""

SINGLES = 0.72
IN_SCENES, ON_COLOURS = 0.48, 0.38
"""Shares of the backdrops; the rest of the captions says none, and there it is mostly white."""

INDIVIDUALS, CLASS_FIRST, BY_CLASS = 0.09, 0.2, 0.15
"""Shares of the objects: named individuals, examples of a class drawn at random, others called by a class."""


@dataclass(frozen=True, slots=True)
class Look:
    """How an individual differs from its kind: hue turned by radians, channels multiplied, width stretched."""

    hue: float = 0.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    stretch: float = 1.0


@dataclass(frozen=True, slots=True)
class Noun:
    """Words for an object: ``phrase`` with its article, ``bare`` without."""

    emoji: int
    phrase: str
    bare: str
    look: Look = Look()


@dataclass(frozen=True, slots=True)
class Thing:
    """An object in a picture. ``x`` and ``y`` are its centre's distance from the picture's, ``scale`` its side, in sides
    of the picture; ``angle`` is in radians."""

    emoji: int
    x: float
    y: float
    scale: float
    angle: float
    flipped: bool
    look: Look


@dataclass(frozen=True, slots=True)
class Composition:
    """One picture: of ``scene`` and ``colour`` one is None; ``variant`` says which picture of the scene."""

    caption: str
    things: tuple[Thing, ...]
    scene: str | None
    colour: str | None
    variant: int
    mirrored: bool
    light: str
    shade: tuple[float, float, float]
    style: str


@dataclass(frozen=True, slots=True)
class Individual:
    """The one ``word`` of its kind."""

    word: str
    emoji: int
    look: Look


class Composer:
    """Compositions of ``objects``, indices into ``names`` and ``kinds``; the same for the same ``seed``."""

    def __init__(self, names: Sequence[str], kinds: Sequence[str], objects: Iterable[int], seed: int) -> None:
        self.names, self.kinds, self.objects = names, kinds, tuple(objects)
        self.random = Random(seed)
        self._sums = list(accumulate(WEIGHTS.get(kinds[i], 1.0) for i in self.objects))
        self.classes = members(names, kinds, self.objects)
        self._words = tuple(self.classes)
        self._word_sums = list(accumulate(class_weight(word) for word in self._words))
        self._classes_of: dict[int, list[str]] = {}
        for word, examples in self.classes.items():
            for i in examples:
                self._classes_of.setdefault(i, []).append(word)
        self.individuals = _individuals(names, kinds, self.objects)

    def compose(self) -> Composition:
        """A composition and its caption."""
        one = self.random.random() < SINGLES
        things, caption = self._one(self._noun()) if one else self._two(self._noun(), self._noun())
        return self._finish(things, caption, styled=True)

    def single(self, emoji: int) -> Composition:
        """One object by its name and nothing beside it, in any scene or on any colour."""
        things, caption = self._one(self._named(emoji))
        return self._finish(things, caption, styled=False)

    def compose_many(self, count: int) -> list[Composition]:
        """``count`` of ``compose``."""
        return [self.compose() for _ in range(count)]

    def _finish(self, things: tuple[Thing, ...], caption: str, styled: bool) -> Composition:
        random = self.random
        scene = colour = None
        light = style = ""
        chance = random.random()
        if chance < IN_SCENES:
            scene = random.choice(list(SCENES))
            if scene in OUTDOORS and random.random() < 0.12:
                light = random.choice([light for light in LIGHTS if light])
            caption = " ".join(filter(None, (caption, scene, light)))
        elif chance < IN_SCENES + ON_COLOURS:
            colour = random.choice(list(COLOURS))
            caption += f" on {with_article(colour)} background"
        else:
            colour = "white" if random.random() < 0.7 else random.choice(list(COLOURS))
        if styled and random.random() < 0.07:
            style = random.choice(["black and white", "drawing"])
            caption = _in_style(caption, style, random)
        red, green, blue = (1 + 0.08 * (random.random() - 0.5) for _ in range(3))
        variant, mirrored = random.randrange(VARIANTS), random.random() < 0.5
        return Composition(caption, things, scene, colour, variant, mirrored, light, (red, green, blue), style)

    def _noun(self) -> Noun:
        """An object and what it is called."""
        chance = self.random.random()
        if chance < INDIVIDUALS and self.individuals:
            return self._individual(self.random.choice(self.individuals))
        if chance < INDIVIDUALS + CLASS_FIRST:
            word = self._words[bisect(self._word_sums, self.random.random() * self._word_sums[-1])]
            return Noun(self.random.choice(self.classes[word]), with_article(word), word)
        emoji = self.objects[bisect(self._sums, self.random.random() * self._sums[-1])]
        words = self._classes_of.get(emoji)
        if words and self.random.random() < BY_CLASS:
            word = self.random.choice(words)
            return Noun(emoji, with_article(word), word)
        return self._named(emoji)

    def _named(self, emoji: int) -> Noun:
        return Noun(emoji, with_article(self.names[emoji]), self.names[emoji])

    def _individual(self, one: Individual) -> Noun:
        """Called by its word and its kind, at times by its word and what else it is."""
        chance = self.random.random()
        what = self.kinds[one.emoji]
        if chance > 0.8:
            what = self.names[one.emoji]
        elif chance > 0.6:
            what = self.random.choice(self._classes_of[one.emoji])
        return Noun(one.emoji, f"{one.word} {what}", f"{one.word} {what}", one.look)

    def _place(self, noun: Noun, x: float, y: float, scale: float) -> Thing:
        angle = (self.random.random() - 0.5) * 0.35
        return Thing(noun.emoji, x, y, scale, angle, self.random.random() < 0.5, noun.look)

    def _one(self, noun: Noun) -> tuple[tuple[Thing, ...], str]:
        random = self.random
        size = random.random()
        if size < 0.18:
            scale, caption = random.uniform(0.95, 1.4), f"a close up of {noun.phrase}"
        elif size < 0.3:
            small = f"a small {noun.bare}" if noun.phrase != noun.bare else f"small {noun.bare}"
            scale, caption = random.uniform(0.3, 0.42), f"a photo of {small}"
        else:
            opening = random.choice(
                ["a photo of ", "a photo of ", "a photo of ", "a picture of ", "a rendering of ", ""]
            )
            scale, caption = random.uniform(0.55, 0.85), opening + noun.phrase
        room = (1.05 - min(scale, 1)) * 0.35 + max(0, scale - 1) * 0.4
        x, y = random.uniform(-room, room), random.uniform(-room * 0.6, room * 0.9)
        return (self._place(noun, x, y, scale),), caption

    def _two(self, first: Noun, second: Noun) -> tuple[tuple[Thing, ...], str]:
        """Side by side, or the first above the second; what lies behind comes first."""
        random = self.random
        opening = random.choice(["a photo of ", "a photo of ", "", "a picture of "])
        if random.random() < 0.5:
            between = random.choice(["next to", "and", "beside"])
            things = tuple(
                self._place(
                    noun, x + random.uniform(-0.03, 0.03), random.uniform(-0.05, 0.2), random.uniform(0.42, 0.52)
                )
                for noun, x in ((first, -0.25), (second, 0.25))
            )
        else:
            between = random.choice(["riding", "on top of", "sitting on"])
            below = self._place(second, random.uniform(-0.05, 0.05), 0.2, random.uniform(0.5, 0.6))
            above = self._place(first, random.uniform(-0.06, 0.06), -0.17, random.uniform(0.42, 0.5))
            things = (below, above)
        return things, f"{opening}{first.phrase} {between} {second.phrase}"


def _in_style(caption: str, style: str, random: Random) -> str:
    before, after = {
        "black and white": ("a black and white photo of ", " in black and white"),
        "drawing": ("a drawing of ", " as a drawing"),
    }[style]
    if random.random() < 0.5:
        return caption + after
    for opening in ("a photo of ", "a picture of ", "a rendering of "):
        caption = caption.removeprefix(opening)
    return before + caption


def _individuals(names: Sequence[str], kinds: Sequence[str], objects: Sequence[int]) -> tuple[Individual, ...]:
    """For each rare word a few objects of different kinds, each with one look, whatever the composer's seed."""
    random = Random("individuals")
    eligible = [i for i in objects if kinds[i] not in NOT_INDIVIDUAL and names[i] not in POOR_EXAMPLES]
    by_kind: dict[str, list[int]] = {}
    for i in eligible:
        by_kind.setdefault(kinds[i], []).append(i)
    found = []
    for word in RARE_WORDS:
        for kind in random.sample(sorted(by_kind), min(INDIVIDUALS_PER_WORD, len(by_kind))):
            tint = (random.uniform(0.65, 1.1), random.uniform(0.65, 1.1), random.uniform(0.65, 1.1))
            look = Look(math.radians(random.uniform(50, 310)), tint, random.choice([0.8, 1.0, 1.0, 1.25]))
            found.append(Individual(word, random.choice(by_kind[kind]), look))
    return tuple(found)


def _chunk(
    names: Sequence[str], kinds: Sequence[str], objects: Sequence[int], seed: int, number: int
) -> list[Composition]:
    return Composer(names, kinds, objects, seed * 1_000_003 + number).compose_many(CHUNK)


def compose_chunks(
    names: Sequence[str], kinds: Sequence[str], objects: Sequence[int], seed: int, count: int, processes: int
) -> list[Composition]:
    """``count`` compositions made by several processes; the same for any number of them."""
    work = partial(_chunk, names, kinds, tuple(objects), seed)
    chunks = range(math.ceil(count / CHUNK))
    if processes == 1:
        made = [work(number) for number in chunks]
    else:
        with ProcessPoolExecutor(processes) as pool:
            made = list(pool.map(work, chunks))
    return [composition for chunk in made for composition in chunk][:count]
