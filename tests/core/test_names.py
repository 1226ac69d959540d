"""Names of concepts: what may be one, what it becomes, and which are free."""

from __future__ import annotations

import unicodedata

import pytest

from dbtui.core.errors import UsageError
from dbtui.core.names import LONGEST, check_name, free_name, slug


@pytest.mark.parametrize(
    "text,name",
    [("My Dog", "my-dog"), ("rex_2", "rex_2"), ("  --Rex--  ", "rex"), ("a  b", "a-b"), ("Ärger", "ärger"),
     ("../../etc/passwd", "etc-passwd"), (".hidden", "hidden"), ("犬", "犬"), ("🐕", ""), ("", ""),
     ("a\x1b[31mb", "a-31mb")],
)  # fmt: skip
def test_a_slug_can_stand_as_a_folder_name(text: str, name: str) -> None:
    assert slug(text) == name


def test_a_slug_of_a_slug_is_itself_and_short() -> None:
    for text in ("x" * 200, ("y" * (LONGEST - 1)) + "- z", "Straße & Söhne"):
        assert slug(slug(text)) == slug(text)
        assert 0 < len(slug(text)) <= LONGEST
        assert not slug(text).endswith("-")


def test_two_ways_to_write_an_accent_are_one_name() -> None:
    apart = unicodedata.normalize("NFD", "Café")
    assert apart != "Café"
    assert check_name(apart) == check_name("Café") == "café"


@pytest.mark.parametrize(
    "text", ["", "   ", "../x", "a/b", "a\\b", ".", "..", "-", "a\x00b", "\x1b[31m", "a\nb", "x" * 61]
)
def test_what_cannot_be_meant_as_a_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_name(text)
    shown = f"{caught.value.title}{caught.value.message}{caught.value.hint}"
    assert "cannot be a name" in shown
    assert "\x1b" not in shown and "\x00" not in shown


def test_a_refusal_proposes_a_name_that_is_accepted() -> None:
    with pytest.raises(UsageError) as caught:
        check_name("my/dog")
    assert "'my-dog'" in caught.value.hint
    assert check_name("my-dog") == "my-dog"


def test_a_free_name_is_kept() -> None:
    assert free_name("rex", lambda name: False) == "rex"


def test_a_taken_name_gets_the_first_free_number() -> None:
    assert free_name("rex", {"rex", "rex-2", "rex-4"}.__contains__) == "rex-3"


def test_a_numbered_long_name_is_still_a_name() -> None:
    longest = "x" * LONGEST
    name = free_name(longest, {longest}.__contains__)
    assert check_name(name) == name != longest
