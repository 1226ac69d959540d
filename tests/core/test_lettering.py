"""Words in pictures: other fonts where there are any, and no boxes."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image, ImageDraw

from dbtui.core import lettering
from dbtui.core.lettering import NOBODY, Lettering


def test_plain_letters_stay_as_they_are() -> None:
    font = Lettering(14)
    assert font.spelled("A sks mug, 200 steps \u00e9") == "A sks mug, 200 steps \u00e9"
    assert font.length("two words") > font.length("two") > 0


def test_a_letter_without_a_font_is_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_system_font", lambda letter, size: None)
    assert Lettering(14).spelled("a \u718a") == "a \\u718a"
    assert Lettering(14).spelled(NOBODY) == "\\U0010ffff"


def test_a_letter_of_the_systems_fonts_is_drawn(monkeypatch: Any) -> None:
    if lettering._system_font("\u718a", 20) is None:
        pytest.skip("this machine has no font with Chinese letters")
    font = Lettering(20)
    assert font.spelled("\u718a") == "\u718a"

    def drawn(text: str) -> bytes:
        image = Image.new("L", (60, 40))
        font.draw(ImageDraw.Draw(image), (4, 4), text, "white")
        return image.tobytes()

    assert drawn("\u718a") != drawn("\u732b") != drawn("")
