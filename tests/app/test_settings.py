"""What was chosen is kept; what cannot be read is told and harms nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbtui.app.app import DbtuiApp
from dbtui.app.settings import Settings, read_settings, settings_file, write_settings
from dbtui.core import paths


def test_settings_come_back(home: Path) -> None:
    assert read_settings() == (Settings(), "")
    write_settings(Settings(theme="dbtui-light", images="half"))
    assert read_settings() == (Settings(theme="dbtui-light", images="half"), "")
    assert settings_file() == home / "config" / "settings.toml"
    assert [file.name for file in paths.config_dir().iterdir()] == ["settings.toml"]
    assert paths.config_dir().stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["theme = ", "theme = 3", 'thema = "x"', 'images = "etching"', "\x00\xff"])
def test_what_cannot_be_used_is_told_and_the_rest_holds(text: str) -> None:
    write_settings(Settings())
    settings_file().write_text(text)
    settings, problem = read_settings()
    assert settings == Settings() and "settings.toml" in problem


def test_a_good_setting_beside_a_bad_one_holds() -> None:
    write_settings(Settings())
    settings_file().write_text('theme = "nord"\nimages = 5\n')
    assert read_settings()[0] == Settings(theme="nord")


def test_a_theme_that_is_chosen_is_kept(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        ui.app.theme = "dbtui-light"
        await ui.until(lambda: read_settings()[0].theme == "dbtui-light")

    drive(script)


def test_a_theme_that_is_not_there_is_told(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        await ui.sees("There is no theme 'neon'")
        assert ui.app.theme == "dbtui-dark"

    drive(script, settings=Settings(theme="neon"))


@pytest.mark.parametrize("theme", sorted(DbtuiApp().available_themes))
def test_every_theme_can_draw_the_library(theme: str, drive: Callable[..., None], concept: Any) -> None:
    concept("mug")

    async def script(ui: Any) -> None:
        await ui.sees("mug")

    drive(script, settings=Settings(theme=theme))
