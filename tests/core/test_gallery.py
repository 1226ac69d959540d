"""What was drawn before: grids and prompts read back from their files, and tables put together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from dbtui.core import prompts
from dbtui.core.gallery import grid_folders, new_folder, read_grid
from dbtui.core.grid import SCHEDULER_NAMES, Recipe, make_grid, save_png
from dbtui.core.prompts import Asked, prompts_file, read_prompts, remember_prompts
from dbtui.core.table import make_table

RECIPE = Recipe(
    prompt="a photo of sks toy", steps=25, guidance=7.5, scheduler="ddim", seed=1, width=64, height=64, model="rex step 9"
)  # fmt: skip


@pytest.mark.parametrize("scheduler", SCHEDULER_NAMES)
def test_a_recipe_is_read_as_it_was_written(scheduler: str) -> None:
    odd = "\u305d\u306e\u304f\u307e, Seed: 3\nSteps: 4"
    for recipe in (
        RECIPE,
        replace(RECIPE, prompt=odd, negative="red\nblue, Model: x", seed=2**63 - 1, guidance=0.001),
        replace(RECIPE, scheduler=scheduler, guidance=1e-9),
    ):
        assert Recipe.parse(recipe.parameters()) == recipe


@pytest.mark.parametrize(
    "text", ["", "a photo", RECIPE.parameters().replace("DDIM", "Heun"), RECIPE.parameters() + "\n"]
)
def test_other_texts_are_no_recipe(text: str) -> None:
    with pytest.raises(ValueError):
        Recipe.parse(text)


def test_grids_are_found_whatever_lies_beside_them() -> None:
    assert grid_folders("rex") == []
    first, second, third = new_folder("rex"), new_folder("rex"), new_folder("rex")
    new_folder("rex", "compare-")
    pictures = [Image.new("RGB", (64, 64), colour) for colour in ("red", "green", "blue", "white", "black", "pink")]
    for folder, columns in ((first, 3), (second, 0)):
        for number, picture in enumerate(pictures):
            save_png(picture, folder / f"{number:03}.png", replace(RECIPE, seed=number).parameters())
        if columns:
            save_png(make_grid(pictures, columns), folder / "grid.png")
    (second / "001.png").write_bytes(b"damaged")
    save_png(pictures[2], second / "002.png", "made elsewhere")
    (second / "notes.txt").touch()
    (second.parent / "20250101-000000").touch()
    assert grid_folders("rex") == [first, second] and third.is_dir(), "an empty folder is no grid"
    whole, part = read_grid(first), read_grid(second)
    assert (whole.columns, whole.rows, len(whole.pictures)) == (3, 2, 6)
    assert [recipe.seed for recipe in whole.recipes if recipe] == [0, 1, 2, 3, 4, 5]
    assert (part.columns, part.rows) == (0, 0) and [bool(recipe) for recipe in part.recipes][:4] == [
        True,
        False,
        False,
        True,
    ]


def test_prompts_are_kept_once_and_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MOST", 3)
    for text in ("one", "two", "one", "three", "four"):
        known = remember_prompts([Asked(text, "red")])
    assert read_prompts() == (known, "") and [asked.prompt for asked in known] == ["one", "three", "four"]
    remember_prompts([Asked("five"), Asked("six")])
    assert [asked.prompt for asked in read_prompts()[0]] == ["four", "five", "six"]


@pytest.mark.parametrize("content", [b"{", b"[1]", b"[{}]", b"\xff\xfe", b'"text"'])
def test_damaged_prompts_are_told_and_put_aside(home: Path, content: bytes) -> None:
    home.mkdir()
    prompts_file().write_bytes(content)
    known, problem = read_prompts()
    assert known == [] and "prompts.json" in problem
    assert remember_prompts([Asked("one")]) == read_prompts()[0] == [Asked("one")]
    assert (home / "prompts.damaged.json").read_bytes() == content


def test_a_table_holds_every_cell_and_cuts_words_that_are_too_long() -> None:
    cells = [
        [Image.new("RGB", (64, 64), "red"), None],
        [Image.new("RGB", (32, 32), "blue"), Image.new("RGB", (64, 64), "lime")],
    ]
    table = make_table(cells, ["mini, untaught", "w" * 300], ["a photo " * 500, "\u305d"])
    x, y = (table.width - 2 * 68, table.width - 68), (table.height - 2 * 68, table.height - 68)
    middle = [table.getpixel((left + 32, top + 32)) for top in y for left in x]
    assert middle == [(255, 0, 0), (239, 241, 244), (0, 0, 255), (0, 255, 0)]
    assert table.getpixel((x[0] + 1, y[1] + 1)) == (0, 0, 255), "all cells are of one size"
    assert table.crop((0, 0, x[0], y[1])).getcolors(10_000) and table.width < 400
