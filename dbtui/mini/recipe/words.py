"""The words of the captions: classes that objects belong to, names of individuals, how often a kind is drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

KIND_WEIGHTS: Mapping[str, float] = {
    "person": 0.06, "face": 0.15, "body part": 0.15, "cat face": 0.4, "monkey face": 0.4, "clock": 0.3,
    "stationery": 0.6, "place": 0.6, "medal": 0.6, "money": 0.6,
}  # fmt: skip
"""How often an object of a kind is drawn beside others, which have 1: of people and faces there are hundreds."""

POOR_EXAMPLES = frozenset([
    "paw prints", "pig nose", "feather", "wing", "empty nest", "nest with eggs", "spider web", "spiral shell",
    "coral", "railway track", "bus stop", "motorway", "oil drum", "fuel pump", "wheel", "police car light",
    "horizontal traffic light", "vertical traffic light", "stop sign", "construction", "station", "seat", "anchor",
    "ring buoy", "spade suit", "heart suit", "diamond suit", "club suit", "joker", "mahjong red dragon",
    "flower playing cards", "slot machine", "bullseye", "pouring liquid", "ice", "brick", "rock", "wood", "salt",
    "leaf fluttering in wind", "suspension railway", "mountain cableway", "aerial tramway", "manual wheelchair",
    "motorized wheelchair", "roller skate", "microbe", "wedding",
])  # fmt: skip
"""Called by their names only: a picture of one would not pass for its kind."""


@dataclass(frozen=True, slots=True)
class _Class:
    kinds: tuple[str, ...] = ()
    names: str = ""
    weight: float = 1.0


CLASSES: Mapping[str, _Class] = {
    "toy": _Class(
        (),
        "yo-yo, kite, video game, joystick, game die, puzzle piece, piñata, pool 8 ball, magic wand, chess pawn, balloon, "
        "japanese dolls, boomerang, flying disc, drum, maracas, carousel horse, sled, kick scooter, soccer ball, abacus, "
        "crystal ball, baby bottle, crayon",
        4,
    ),
    "animal": _Class(("animal", "reptile", "bird", "sea animal"), weight=4),
    "vehicle": _Class(("vehicle",), weight=4),
    "food": _Class(("food", "sweet", "fruit"), weight=3),
    "sweet": _Class(("sweet",), weight=3),
    "dessert": _Class(("sweet",)),
    "bird": _Class(("bird",), weight=3),
    "car": _Class((), "police car, taxi, automobile, sport utility vehicle, racing car, oncoming automobile, pickup truck", 2),
    "truck": _Class((), "delivery truck, articulated lorry, pickup truck, ambulance", 2),
    "train": _Class((), "locomotive, high-speed train, bullet train, train, metro, light rail, tram, monorail"),
    "bus": _Class((), "bus, oncoming bus, trolleybus, minibus"),
    "boat": _Class(("boat",)),
    "ship": _Class((), "passenger ship, ferry, ship, motor boat"),
    "plane": _Class((), "airplane, small airplane, airplane departure, airplane arrival"),
    "machine": _Class((), "tractor, printer, fax machine, film projector, rocket, television, microscope, telescope"),
    "dog": _Class((), "dog face, dog, guide dog, service dog, poodle", 2),
    "cat": _Class((), "cat face, cat, black cat", 2),
    "horse": _Class((), "horse face, horse"),
    "bear": _Class((), "bear, polar bear, panda, koala"),
    "rabbit": _Class((), "rabbit, rabbit face"),
    "pet": _Class((), "dog, cat, hamster, rabbit, mouse, parrot, turtle, tropical fish, poodle"),
    "fish": _Class((), "fish, tropical fish, blowfish, shark"),
    "insect": _Class((), "butterfly, bug, ant, honeybee, beetle, lady beetle, cricket, cockroach, mosquito, fly"),
    "creature": _Class((), "alien, alien monster, ghost, ogre, goblin, dragon, t-rex"),
    "monster": _Class((), "alien monster, ogre, goblin, ghost, dragon"),
    "dinosaur": _Class((), "t-rex, dragon"),
    "snack": _Class((), "pretzel, popcorn, french fries, doughnut, cookie, bagel, waffle, rice cracker"),
    "cake": _Class((), "birthday cake, shortcake, pancakes, pie", 2),
    "bread": _Class((), "bread, croissant, baguette bread, bagel, flatbread"),
    "meal": _Class((), "hamburger, pizza, taco, burrito, spaghetti, curry rice, bento box, sushi, pot of food"),
    "tree": _Class((), "evergreen tree, deciduous tree, palm tree, christmas tree"),
    "house": _Class((), "house, house with garden, hut, derelict house"),
    "ball": _Class((), "soccer ball, baseball, softball, basketball, volleyball, tennis, pool 8 ball, rugby football"),
    "hat": _Class((), "woman's hat, top hat, graduation cap, billed cap, crown"),
    "shoe": _Class((), "man's shoe, running shoe, hiking boot, flat shoe, high-heeled shoe"),
    "bag": _Class((), "purse, handbag, clutch bag, backpack"),
    "book": _Class((), "closed book, open book, green book, blue book, orange book, notebook"),
    "phone": _Class((), "mobile phone, telephone, telephone receiver"),
    "computer": _Class((), "laptop, desktop computer"),
    "lamp": _Class((), "light bulb, flashlight, red paper lantern, diya lamp"),
    "musical instrument": _Class(("instrument",)),
    "piece of furniture": _Class((), "bed, couch and lamp, chair, bathtub, door"),
    "gift": _Class((), "wrapped gift, red envelope, balloon, bouquet"),
}  # fmt: skip
"""Wider words: which kinds or objects they are said of, and how often. Every kind is a class of its own members too."""

RARE_WORDS = (
    "zwx", "qob", "vrk", "jyd", "xulg", "mivz", "qeft", "hwzo", "bryq", "kvap", "zelm", "wuxi", "ojq", "tivk", "gexo",
    "pluz", "dweq", "fyzu", "xarn", "cvob", "lyqe", "ruvx", "snoq", "hazf", "yebk", "wofz", "qint", "vuxa", "jorz",
    "mwek", "zhul", "bexi", "kyuz", "xopf", "drax", "vemq", "gluz", "ufqo", "tezk", "pyox", "wagz", "qulm", "jevi",
    "razk", "fouv", "ynex", "hoqz", "bivk", "zurp", "kexa", "qyot", "mozv", "wexl", "javu", "texq", "noyz", "guxi",
    "lozk", "vyra", "pezu",
)  # fmt: skip
"""Each names an individual, as a person's pet has a name."""

FREE_WORDS = ("sks", "ohwx", "hta", "xjy")
"""In no caption: names yet to be given, which begin as what all RARE_WORDS have in common."""

INDIVIDUALS_PER_WORD = 2
NOT_INDIVIDUAL = frozenset(
    ["person", "face", "body part", "cat face", "monkey face", "clock", "place", "stationery", "money"]
)


def members(names: Sequence[str], kinds: Sequence[str], objects: Collection[int]) -> dict[str, tuple[int, ...]]:
    """Which of ``objects`` each class word may be said of; words with nothing to be said of are left out."""
    examples = [i for i in objects if names[i] not in POOR_EXAMPLES]
    found = {kind: tuple(i for i in examples if kinds[i] == kind) for kind in sorted(set(kinds))}
    for word, of in CLASSES.items():
        listed = of.names.split(", ") if of.names else []
        chosen = [i for i in examples if kinds[i] in of.kinds] + [i for i in objects if names[i] in listed]
        found[word] = tuple(dict.fromkeys(chosen))
    return {word: chosen for word, chosen in found.items() if chosen}


def class_weight(word: str) -> float:
    """How often a class word is drawn beside others, which have 1."""
    return CLASSES[word].weight if word in CLASSES else KIND_WEIGHTS.get(word, 1.0)


def with_article(noun: str) -> str:
    """``an apple``, ``a pear``."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
