"""What was chosen is kept; what cannot be read is told and harms nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbtui.app.app import DbtuiApp
from dbtui.app.pictures import Picture
from dbtui.app.screens.settings import SettingsDialog
from dbtui.app.settings import Settings, read_settings, settings_file, write_settings
from dbtui.core import paths
from dbtui.core.tty import Capabilities


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


QUARTERS = set("\u2596\u2597\u2598\u2599\u259a\u259b\u259c\u259d\u259e\u259f")


def test_f8_shows_the_pictures_that_are_there_another_way_and_keeps_it(
    drive: Callable[..., None], concept: Any
) -> None:
    async def script(ui: Any) -> None:
        await ui.sees("mug")
        await ui.press("f9")
        await ui.until(lambda: QUARTERS & set(ui.text))
        await ui.press("escape", "f8")
        await ui.sees("Two coloured halves")
        assert read_settings()[0].images == "half"
        await ui.press("f9")
        await ui.until(lambda: "\u2580" in ui.text and not QUARTERS & set(ui.text))
        await ui.press("escape", "f8")
        await ui.sees("No pictures", "132 x 64 pixels")
        await ui.press("f8")
        await ui.until(lambda: "132 x 64 pixels" not in ui.text)
        assert (ui.app.terminal.pictures, read_settings()[0].images) == ("blocks", "auto")

    concept("mug")
    drive(script, (120, 36), terminal=Capabilities(pictures="blocks", found="blocks"))


def test_what_is_chosen_in_the_settings_is_seen_at_once_and_can_be_given_back(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        await ui.press("f9")
        await ui.sees("This terminal: XTerm(390), 256 colours", "Four coloured parts")
        await ui.until(lambda: QUARTERS & set(ui.text))
        await ui.press("left", "left")  # before auto comes off, then half
        await ui.sees("Two coloured halves")
        await ui.until(lambda: "\u2580" in ui.text and not QUARTERS & set(ui.text))
        await ui.press("up", "right")
        await ui.until(lambda: ui.app.theme != "dbtui-dark" and read_settings()[0].theme == ui.app.theme)
        assert read_settings()[0].images == "half"
        await ui.press("f6")
        await ui.until(lambda: read_settings()[0] == Settings() and QUARTERS & set(ui.text))
        await ui.press("escape")
        await ui.until(lambda: not isinstance(ui.app.screen, SettingsDialog))

    drive(script, terminal=Capabilities("256", "blocks", name="XTerm(390)", found="blocks"))


def test_pixels_that_need_all_colours_wait_for_the_next_start(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        await ui.press("f9", "right")
        await ui.sees("It takes effect when dbtui starts again")
        assert read_settings()[0].images == "kitty" and ui.app.screen.query_one(Picture)._terminal.pictures == "blocks"

    drive(script, terminal=Capabilities("256", "blocks", found="blocks"))


def test_what_was_asked_for_once_is_not_kept_with_what_is_chosen(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        ui.app.theme = "dbtui-light"
        await ui.until(lambda: read_settings()[0] == Settings(theme="dbtui-light", images="off"))

    write_settings(Settings(images="off"))
    drive(script, settings=Settings(images="half"))
