"""The config: TOML in and out, names, bounds, presets, and parts that must fit together."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path

import pytest

from dbtui.core.config import FIELDS, SECTIONS, Config, find_field, parse_assignment
from dbtui.core.errors import UsageError
from dbtui.core.presets import PRESETS, assemble, find_preset, preset_config

OUTSIDE_NAMES = (
    "training.steps", "training.batch_size", "training.accumulation", "training.learning_rate",
    "training.precision", "training.optimizer", "training.gradient_checkpointing", "training.seed",
    "training.checkpoint_every", "training.processes", "data.resolution", "data.center_crop", "prior.enabled",
    "prior.weight", "prior.class_images", "sampling.every",
)  # fmt: skip

TUTORIAL = {
    "data.resolution": 512,
    "data.center_crop": True,
    "training.learning_rate": 5e-6,
    "training.steps": 500,
    "training.batch_size": 1,
    "training.accumulation": 2,
    "training.max_grad_norm": 1.0,
    "training.precision": "no",
    "training.gradient_checkpointing": True,
    "training.optimizer": "adamw8bit",
    "training.seed": 34354,
    "prior.enabled": False,
    "prior.weight": 0.5,
    "prior.batch_size": 2,
    "sampling.guidance": 7.5,
    "sampling.steps": 75,
}

AUTO_FIELDS = [key for key, field in FIELDS.items() if field.auto]


@pytest.mark.parametrize("key", OUTSIDE_NAMES)
def test_every_promised_parameter_exists(key: str) -> None:
    assert Config()[key] == FIELDS[key].default


def test_the_table_covers_every_attribute_of_the_config() -> None:
    attributes = {f"{section}.{name}" for section in SECTIONS for name in getattr(Config(), section).__slots__}
    assert attributes == set(FIELDS)


def test_every_default_is_allowed_by_its_own_field() -> None:
    for field in FIELDS.values():
        assert field.check(field.default) == field.default


@pytest.mark.parametrize("key,value", TUTORIAL.items())
def test_the_tutorial_preset_has_the_tutorials_value(key: str, value: object) -> None:
    found = preset_config("tutorial")[key]
    assert found == value and type(found) is type(value)


def test_the_default_preset_learns_as_many_pictures_as_the_tutorial() -> None:
    def shape(config: Config) -> tuple[int, int]:
        return config.training.steps, config.training.batch_size * config.training.accumulation

    assert shape(preset_config("balanced")) == shape(preset_config("tutorial")) == (500, 2)


def test_the_mini_preset_is_three_hundred_steps_of_two_small_pictures() -> None:
    config = preset_config("mini")
    assert (config.model.base, config.data.resolution, config.training.steps) == ("mini", 128, 300)
    assert config.training.batch_size * config.training.accumulation == 2


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_comes_back_from_toml_unchanged(name: str, prior: bool) -> None:
    config = preset_config(name, prior)
    assert Config.from_toml(config.to_toml()) == config


def test_awkward_values_come_back_from_toml_unchanged() -> None:
    config = Config().replace(
        {
            "concept.prompt": 'a "sks" dog \\ # no comment\n\t\x1b[31m é 犬 🐕',
            "sampling.prompts": ["one, with [brackets]", "it's | two", '"""'],
            "data.exclude": ["a b.jpg", "ü.png"],
            "training.learning_rate": 1.2345678901234e-6,
            "training.seed": 2**63 - 1,
        }
    )
    assert Config.from_toml(config.to_toml()) == config


def test_toml_says_what_each_parameter_is() -> None:
    text = Config().to_toml()
    for field in FIELDS.values():
        assert f"# {field.label}: " in text


def test_toml_with_a_few_keys_changes_only_those() -> None:
    onto = Config().replace({"training.seed": 7})
    config = Config.from_toml("[training]\nsteps = 3\n", onto)
    assert config == onto.replace({"training.steps": 3})


@pytest.mark.parametrize(
    "written,meant",
    [("training.stpes", "training.steps"), ("acumulation", "training.accumulation"),
     ("learning_rate", "training.learning_rate"), ("traning.batch_size", "training.batch_size"),
     ("prior.wieght", "prior.weight")],
)  # fmt: skip
def test_an_unknown_name_is_refused_with_the_nearest(written: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_field(written)
    assert written in caught.value.title
    assert meant in caught.value.hint


def test_an_unknown_key_in_a_file_is_refused_not_ignored() -> None:
    with pytest.raises(UsageError, match=r"training\.learnign_rate") as caught:
        Config.from_toml("[training]\nlearnign_rate = 1e-5\n")
    assert "training.learning_rate" in caught.value.hint


@pytest.mark.parametrize("text", ["[trainning]\nsteps = 3\n", "steps = 3\n", "training = 3\n"])
def test_an_unknown_section_in_a_file_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no parameter"):
        Config.from_toml(text)


def test_an_unknown_name_without_a_likeness_guesses_nothing() -> None:
    with pytest.raises(UsageError) as caught:
        find_field("zzzzzzzz")
    assert "Did you mean" not in caught.value.hint


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        find_preset("tutoral")
    assert "tutorial" in caught.value.hint


@pytest.mark.parametrize(
    "key,value",
    [("training.steps", 0), ("training.steps", 10**9), ("training.steps", 2.5), ("training.steps", True),
     ("training.steps", "300"), ("training.learning_rate", 0), ("training.learning_rate", math.nan),
     ("training.learning_rate", math.inf), ("training.learning_rate", -1e-6), ("data.resolution", 63),
     ("data.resolution", "huge"), ("training.precision", "fp23"), ("prior.enabled", 1), ("prior.weight", 11),
     ("sampling.prompts", "one"), ("sampling.prompts", [1]), ("concept.prompt", "x" * 10_001),
     ("data.exclude", ["\udcff.jpg"]), ("training.seed", -1)],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused_by_the_name_of_its_field(key: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        Config().replace({key: value})  # type: ignore[dict-item]
    assert caught.value.title.startswith(f"{key} cannot be ")
    assert FIELDS[key].range in caught.value.message


def test_a_path_that_is_not_text_is_refused_for_that() -> None:
    with pytest.raises(UsageError, match=r"data.folder cannot be used: /photos/\\udcff is not in UTF-8"):
        Config().replace({"data.folder": "/photos/\udcff"})


def test_bounds_themselves_are_allowed() -> None:
    for field in FIELDS.values():
        for bound in (field.low, field.high):
            if bound is not None and not (field.least_open and bound == field.low):
                assert field.check(field.kind(bound)) == bound


def test_a_misspelt_choice_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        Config().replace({"sampling.scheduler": "eulr"})
    assert "euler" in caught.value.hint


@pytest.mark.parametrize("key", AUTO_FIELDS)
def test_auto_is_allowed_typed_and_in_toml(key: str) -> None:
    config = Config().replace(dict([parse_assignment(f"{key}=auto")]))
    assert Config.from_toml(config.to_toml())[key] == "auto"


def test_auto_is_refused_where_nothing_decides() -> None:
    assert len(AUTO_FIELDS) >= 4
    with pytest.raises(UsageError, match=r"training\.steps"):
        parse_assignment("training.steps=auto")


@pytest.mark.parametrize(
    "text,value",
    [("training.steps=300", 300), (" training.steps = 1_000 ", 1000), ("training.learning_rate=1e-5", 1e-5),
     ("training.learning_rate=1", 1.0), ("prior.enabled=yes", True), ("prior.enabled=FALSE", False),
     ("training.gradient_checkpointing=off", False), ("concept.prompt=a=b", "a=b"),
     ("sampling.prompts=one | two, three |", ["one", "two, three"]), ("sampling.prompts=", []),
     ("training.precision=bf16", "bf16")],
)  # fmt: skip
def test_an_assignment_is_read_as_its_fields_type(text: str, value: object) -> None:
    key, found = parse_assignment(text)
    assert key in FIELDS
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("text", ["training.steps", "training.steps=", "training.steps=many", "prior.enabled=maybe"])
def test_a_bad_assignment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"training\.steps|prior\.enabled"):
        parse_assignment(text)


@pytest.mark.parametrize("name", PRESETS)
def test_a_formatted_value_is_read_back_exactly(name: str) -> None:
    config = preset_config(name).replace(
        {"training.learning_rate": 1.2345678901e-6, "sampling.prompts": ["one", "two"]}
    )
    for field in FIELDS.values():
        assert field.parse(field.format(config[field.key])) == config[field.key]


def test_a_copy_shares_no_list_with_its_original() -> None:
    prompts = ["one"]
    config = Config().replace({"sampling.prompts": prompts})
    prompts.append("two")
    Config().sampling.prompts.append("stray")
    assert config.sampling.prompts == ["one"]
    assert Config().sampling.prompts == []


@pytest.mark.parametrize("version", ["2", "0", '"1"'])
def test_a_file_of_another_version_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match="another version"):
        Config.from_toml(f"version = {version}\n")


@pytest.mark.parametrize(
    "changes,words",
    [({"concept.prompt": "  "}, "concept.prompt"),
     ({"prior.enabled": True}, "prior.class_prompt"),
     ({"prior.enabled": True, "prior.class_prompt": " A Photo of SKS"}, "class prompt is the prompt"),
     ({"training.steps": 10, "training.warmup_steps": 11}, "training.warmup_steps"),
     ({"sampling.prompts": ["fine", " "]}, "sampling.prompts")],
)  # fmt: skip
def test_parts_that_do_not_fit_together_are_refused(changes: dict, words: str) -> None:
    config = Config().replace(changes)
    with pytest.raises(UsageError, match=words):
        config.check()


def test_parts_that_fit_together_pass() -> None:
    changes = {"prior.enabled": True, "prior.class_prompt": "a photo of a dog", "training.warmup_steps": 500}
    config = Config().replace(changes)
    assert config.check() is config


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[training", b"steps == 3", b"a=" + b"[" * 5000])
def test_a_file_that_is_not_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(content)
    with pytest.raises(UsageError):
        Config.read(tmp_path / "c.toml")


def test_a_file_as_windows_writes_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbf[training]\r\nsteps = 7\r\n")
    assert Config.read(tmp_path / "c.toml").training.steps == 7


def test_a_file_that_can_be_read_only_once_counts(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("[training]\nsteps = 7\n[prior]\nenabled = true\n",))
    writer.start()
    assert assemble("", pipe, {}).training.steps == 7
    writer.join()


def test_a_missing_file_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        Config.read(tmp_path / "nowhere.toml")


def test_changes_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[training]\nsteps = 11\nseed = 12\n")
    config = assemble("tutorial", file, {"training.seed": 13})
    assert (config.training.steps, config.training.seed, config.sampling.steps) == (11, 13, 75)


def test_changes_win_over_what_a_preset_says_for_prior_preservation() -> None:
    changes = {"prior.enabled": True, "training.learning_rate": 3e-3}
    config = assemble("mini", None, changes)
    assert config == preset_config("mini", prior=True).replace(changes)
    assert config.training.learning_rate == 3e-3


def test_without_a_preset_the_model_in_the_file_chooses_it(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[model]\nbase = "mini"\n')
    assert assemble("", file, {}) == preset_config("mini")
    assert assemble("", None, {"model.base": "mini"}).data.resolution == 128
    assert assemble("", None, {}) == preset_config("balanced")
