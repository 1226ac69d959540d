"""The recipe of the embedded model, on toy sizes and a dozen drawn shapes."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from dbtui.core.subjects import SUBJECTS
from dbtui.mini.recipe.__main__ import make_model
from dbtui.mini.recipe.autoencoder import build_autoencoder, psnr, train_autoencoder
from dbtui.mini.recipe.compositions import Composer, Composition, Look, Thing, compose_chunks
from dbtui.mini.recipe.denoiser import build_denoiser, name_the_free, train_denoiser
from dbtui.mini.recipe.emoji import Emoji, read_emoji
from dbtui.mini.recipe.judge_recipes import SEEDS, UNTAUGHT, jobs
from dbtui.mini.recipe.judge_subjects import OTHERS, exams, take_photos
from dbtui.mini.recipe.layout import pack
from dbtui.mini.recipe.model import load_model
from dbtui.mini.recipe.plan import TINY
from dbtui.mini.recipe.rendering import Renderer
from dbtui.mini.recipe.scenes import COLOURS, SCENES
from dbtui.mini.recipe.sitting import Sitting
from dbtui.mini.recipe.tokenizer import LENGTH, learn_merges, make_tokenizer
from dbtui.mini.recipe.words import FREE_WORDS, RARE_WORDS

SHAPES = [
    ("cat", "animal", "orange"), ("dog", "animal", "brown"), ("bird", "bird", "cyan"), ("kite", "toy", "red"),
    ("yo-yo", "toy", "lime"), ("taxi", "vehicle", "yellow"), ("bus", "vehicle", "blue"), ("pizza", "food", "orange"),
    ("pie", "sweet", "pink"), ("bomb", "tool", "black"), ("waving hand", "hand", "yellow"), ("robot", "toy", "gray"),
]  # fmt: skip
PLAN = replace(TINY, vocabulary=700, autoencoder_steps=20, steps=20)
TRAINED = replace(PLAN, autoencoder_steps=150, steps=150)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("emoji") / "emoji.zip"
    with zipfile.ZipFile(path, "w") as writer:
        entries = [{"name": name, "kind": kind, "held_out": name == "robot"} for name, kind, _ in SHAPES]
        writer.writestr("meta.json", json.dumps(entries))
        for i, (_, _, colour) in enumerate(SHAPES):
            picture, file = Image.new("RGBA", (48, 48)), BytesIO()
            ImageDraw.Draw(picture).ellipse((4, 4, 44, 44), fill=colour)
            picture.save(file, "webp", lossless=True)
            writer.writestr(f"{i}.webp", file.getvalue())
    return path


@pytest.fixture(scope="module")
def emoji(archive: Path) -> Emoji:
    return read_emoji(archive)


@pytest.fixture(scope="module")
def renderer(emoji: Emoji) -> Renderer:
    return Renderer(emoji.pictures, 32, "cpu", 0)


def compose(emoji: Emoji, count: int, seed: int = 0) -> list[Composition]:
    return Composer(emoji.names, emoji.kinds, emoji.trained, seed).compose_many(count)


def test_subjects_and_what_does_not_belong_are_never_drawn_nor_named(emoji: Emoji) -> None:
    left_out = {emoji.index(name) for name in ("robot", "bomb", "waving hand")}
    assert emoji.subjects == (emoji.index("robot"),) and left_out.isdisjoint(emoji.trained)
    for made in compose(emoji, 2000):
        assert left_out.isdisjoint(thing.emoji for thing in made.things)
        assert not {"robot", "bomb", "hand", *FREE_WORDS} & set(made.caption.split())


def test_a_caption_says_what_is_drawn(emoji: Emoji) -> None:
    composer = Composer(emoji.names, emoji.kinds, emoji.trained, 0)
    individuals = {(one.emoji, one.look): one.word for one in composer.individuals}
    for made in composer.compose_many(2000):
        words = made.caption.replace(",", "").split()
        for thing in made.things:
            called = {emoji.names[thing.emoji], *(w for w, of in composer.classes.items() if thing.emoji in of)}
            assert any(name in made.caption for name in called), made
            assert thing.look == Look() or individuals[thing.emoji, thing.look] in words
        assert (made.scene is None or made.scene in made.caption) and made.light in made.caption
        assert not any(scene in made.caption for scene in SCENES if scene not in (made.scene, made.light))
        assert (made.style or "") in made.caption
        if " background" in made.caption:
            assert f"{made.colour} background" in made.caption


def test_a_rare_word_names_one_individual_whatever_the_seed(emoji: Emoji) -> None:
    first, second = (Composer(emoji.names, emoji.kinds, emoji.trained, seed).individuals for seed in (0, 7))
    assert first == second and {one.word for one in first} == set(RARE_WORDS)
    assert len({(one.word, emoji.kinds[one.emoji]) for one in first}) == len(first)


def test_compositions_do_not_depend_on_the_processes(emoji: Emoji) -> None:
    made = [compose_chunks(emoji.names, emoji.kinds, emoji.trained, 3, 5000, n) for n in (1, 2)]
    assert made[0] == made[1] and len(made[0]) == 5000


def test_a_picture_shows_the_object_where_it_was_put(emoji: Emoji, renderer: Renderer) -> None:
    thing = Thing(emoji.index("taxi"), -0.25, 0.25, 0.4, 0.0, False, Look())
    made = Composition("", (thing,), None, "blue", 0, False, "", (1.0, 1.0, 1.0), "")
    turned = replace(made, things=(replace(thing, look=Look(hue=math.pi)),))
    grey = replace(made, style="black and white")
    pictures = (renderer.draw(pack([made, turned, grey])) + 1) / 2 * 255
    assert torch.equal(pictures, (renderer.draw(pack([made, turned, grey])) + 1) / 2 * 255)
    assert pictures[0, :, 24, 8].tolist() == pytest.approx([255, 255, 0], abs=12)
    assert pictures[0, :, 8, 24].tolist() == pytest.approx(COLOURS["blue"], abs=12)
    assert pictures[1, 2, 24, 8] > pictures[1, 0, 24, 8], "the individual's hue is turned"
    assert (pictures[2, 0] - pictures[2, 2]).abs().max() < 0.01


def test_merges_are_learned_by_count_then_by_the_alphabet() -> None:
    assert learn_merges({"aab": 3, "ab": 2, "xy": 5}, 2) == [("a", "b</w>"), ("x", "y</w>")]
    assert learn_merges({"yx": 1, "ab": 1}, 9) == [("a", "b</w>"), ("y", "x</w>")]


def test_the_tokenizer_is_the_same_again_and_knows_rare_words_whole(emoji: Emoji) -> None:
    captions = [made.caption for made in compose(emoji, 500)]
    first, second = (make_tokenizer(order, FREE_WORDS, 600) for order in (captions, captions[::-1]))
    assert first.get_vocab() == second.get_vocab() and len(first) == 600
    assert first.tokenize("a photo of sks toy")[-2] == "sks</w>"
    assert first.decode(first("a piñata 12").input_ids, skip_special_tokens=True).strip() == "a piñata 1 2"
    with pytest.raises(ValueError, match="different tokens"):
        make_tokenizer(["a"], ["b"], 600)


def test_the_autoencoder_learns(emoji: Emoji, renderer: Renderer) -> None:
    torch.manual_seed(0)
    layout = pack(compose(emoji, 256))
    vae, unseen = build_autoencoder(PLAN), renderer.draw(pack(compose(emoji, 32, seed=1)))
    before = psnr(vae, unseen)
    train_autoencoder(vae, renderer, layout, TRAINED, lambda text: None)
    assert psnr(vae, unseen) > before + 1.5


def test_the_denoiser_learns_and_a_free_word_becomes_a_name() -> None:
    torch.manual_seed(0)
    tokenizer = make_tokenizer(["a photo of a cat"] * 9, [*RARE_WORDS, *FREE_WORDS], 681)
    denoiser = build_denoiser(PLAN, tokenizer)
    latents = torch.cat([torch.ones(8, 4, 8, 8), torch.full((8, 4, 8, 8), 0.01)], 1)
    tokens = torch.tensor(tokenizer(["a cat"] * 8 + [""], padding="max_length", max_length=LENGTH).input_ids)

    def loss() -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return sum(denoiser.loss(latents[:, :4], tokens[:-1]).item() for _ in range(8))

    def ids(words: tuple[str, ...]) -> list[int]:
        return [tokenizer(word, add_special_tokens=False).input_ids[0] for word in words]

    assert len(set(ids((*RARE_WORDS, *FREE_WORDS)))) == len(RARE_WORDS) + len(FREE_WORDS)
    before, kept = loss(), []
    train_denoiser(denoiser, latents, tokens[:-1], tokens[-1], TRAINED, lambda text: None, lambda: kept.append(1))
    assert loss() < before / 2 and kept
    rows = denoiser.text_encoder.get_input_embeddings().weight
    rare, free = (rows[ids(words)].detach().clone() for words in (RARE_WORDS, FREE_WORDS))
    name_the_free(denoiser.text_encoder, tokenizer, list(RARE_WORDS), list(FREE_WORDS))
    named = rows[ids(FREE_WORDS)]
    assert torch.allclose(named.norm(dim=1), rare.norm(dim=1).mean().expand(len(named)), rtol=1e-4)
    assert torch.cosine_similarity(named[0], rare.mean(0), dim=0) > 0.999 and not torch.allclose(named, free)


def test_two_sittings_teach_what_one_teaches(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(["a photo of a cat"] * 9, [*RARE_WORDS, *FREE_WORDS], 681)
    latents, empty = torch.randn(8, 8, 8, 8), torch.zeros(LENGTH, dtype=torch.long)
    tokens = torch.zeros(8, LENGTH, dtype=torch.long)

    def train(*ends: float) -> list[torch.Tensor]:
        done = False
        for end in ends:
            torch.manual_seed(3)  # another process begins alike
            denoiser = build_denoiser(PLAN, tokenizer)
            sitting = Sitting(tmp_path / "unfinished.pt", end)
            done = train_denoiser(denoiser, latents, tokens, empty, PLAN, lambda text: None, lambda: None, sitting)
            assert done == (end == 1) and sitting.begun != done
        assert done
        return [value.clone() for value in denoiser.state_dict().values()]

    for whole, parts in zip(train(1.0), train(0.35, 0.6, 1.0), strict=True):
        assert torch.equal(whole, parts)


def test_the_whole_recipe_makes_a_folder_that_loads_and_goes_on(archive: Path, emoji: Emoji, tmp_path: Path) -> None:
    make_model(emoji, PLAN, tmp_path / "out", "cpu", None, None)
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["autoencoder", "model", "reconstructions.jpg", "samples.jpg"]
    vae, denoiser, tokenizer = load_model(tmp_path / "out" / "model")
    assert len(tokenizer) == PLAN.vocabulary and vae.config.scaling_factor != 0.18215
    again = replace(PLAN, steps=2)
    make_model(emoji, again, tmp_path / "again", "cpu", tmp_path / "out" / "model", None)
    kept, further, _ = load_model(tmp_path / "again" / "model")
    for (name, ours), theirs in zip(vae.state_dict().items(), kept.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name
    assert not torch.equal(denoiser.unet.conv_in.weight, further.unet.conv_in.weight)


def test_every_subject_that_recipes_are_tried_on_has_photos(emoji: Emoji, tmp_path: Path) -> None:
    names = [name.replace("-", " ") for name in (*SUBJECTS, *OTHERS)]
    drawn = replace(
        emoji, names=tuple(names), kinds=("toy",) * len(names), subjects=(), pictures=emoji.pictures[: len(names)]
    )
    take_photos(drawn, Renderer(drawn.pictures, 32, "cpu", 0), tmp_path)
    found = exams(drawn, tmp_path)
    for job in jobs():
        exam = found[job.subject]
        assert names[exam.emoji] == job.subject.replace("-", " ")
        assert len(list(exam.folder.glob("*.jpg"))) == 5


def test_a_recipe_by_name_is_tried_on_every_subject_and_no_other_recipe_is() -> None:
    tried = [job for job in jobs(["prior"]) if job.recipe != UNTAUGHT]
    assert {job.recipe for job in tried} == {"prior"}
    assert {job.subject for job in tried} == {*SUBJECTS, *OTHERS}
    assert len(tried) == len(set(tried)) == len(SEEDS) * len({*SUBJECTS, *OTHERS})
