"""Keys that come in bursts, as over a slow link: each acts after the one before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual import events
from textual._xterm_parser import XTermParser
from textual.widgets import Input

from dbtui.app.draft import Draft
from dbtui.app.late_answers import GAP
from dbtui.app.messages import FolderRead, OpenParameters
from dbtui.app.screens.library import LibraryScreen
from dbtui.app.screens.parameters import ParametersScreen
from dbtui.app.screens.prompt import PromptScreen
from dbtui.app.widgets.path_input import PathInput
from dbtui.app.widgets.prompt_line import PromptLine
from dbtui.core.library import find_concept
from dbtui.core.subjects import SUBJECTS
from dbtui.core.tty import Capabilities

CLEAR, ESCAPE, ENTER = ("ctrl+u", None), ("escape", None), ("enter", "\r")


def burst(ui: Any, *keys: str | tuple[str, str | None]) -> None:
    """Post keys as the terminal's reader does, without waiting for any; a text is typed letter by letter."""
    for key in keys:
        for name, character in [key] if isinstance(key, tuple) else [(letter, letter) for letter in key]:
            ui.app.post_message(events.Key(name, character))


@pytest.fixture
def parameters(drive: Callable[..., None]) -> Callable[..., None]:
    """``parameters(script)``: the script is run on the form for the bear's photos."""

    def run(script: Callable[..., Any]) -> None:
        async def opened(ui: Any) -> None:
            await ui.sees("Try the demo")
            ui.app.draft = Draft(SUBJECTS["teddy-bear"].folder)
            ui.app.screen.post_message(OpenParameters())
            await ui.until(lambda: isinstance(ui.app.screen, ParametersScreen) and ui.app.focused is not None)
            await script(ui)

        drive(opened)

    return run


def test_words_of_every_script_keep_their_order(parameters: Callable[..., None]) -> None:
    words = "\u96ea\u306e\u4e2d\u306e sks \u043c\u0438\u0448\u043a\u0430 \u05d3\u05d5\u05d1 \U0001f9f8 and all else"

    async def script(ui: Any) -> None:
        for text in (words, words[::-1]):
            burst(ui, ("end", None), CLEAR, text)
            await ui.until(lambda text=text: ui.app.draft.typed.get("concept.prompt") == text)
            assert ui.app.focused.value == text

    parameters(script)


def test_what_is_typed_into_one_field_outlives_what_is_typed_into_the_other(parameters: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        burst(ui, CLEAR, "a sks bear", ("up", None), "bruno", ("down", None), " runs", ("down", None), "a bear")
        expected = {"concept.prompt": "a sks bear runs", "concept.name": "bruno", "prior.class_prompt": "a bear"}
        await ui.until(lambda: expected.items() <= ui.app.draft.typed.items())
        for key, text in expected.items():
            assert ui.app.screen._row(key).editor.value == text
        assert ui.app.draft.typed["prior.enabled"] == "true"
        assert ui.app.screen._row("prior.enabled").editor.value == "true", "it follows the class prompt"

    parameters(script)


def test_a_draft_that_lags_behind_takes_nothing_back(parameters: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        screen = ui.app.screen
        prompt, name = screen._row("concept.prompt").editor, screen._row("concept.name").editor
        prompt.value = "a"
        prompt.value = name.value = "ab"
        screen._changed("concept.prompt")
        assert (prompt.value, name.value) == ("ab", "ab")
        await ui.until(lambda: ui.app.draft.typed.get("concept.name") == "ab")
        assert (prompt.value, name.value, ui.app.draft.typed["concept.prompt"]) == ("ab", "ab", "ab")

    parameters(script)


def test_letters_behind_the_key_of_a_field_go_into_the_field(drive: Callable[..., None], concept: Any) -> None:
    async def script(ui: Any) -> None:
        await ui.sees("mug", "pot")
        burst(ui, ("slash", "/"), "btq mug", ESCAPE, ("slash", "/"), "pot", ENTER)
        filter = ui.app.screen.query_one("#filter", Input)
        await ui.until(lambda: filter.value == "pot" and ui.app.focused.id == "entries")
        await ui.sees("1 of 2")
        assert isinstance(ui.app.screen, LibraryScreen), "no letter acted as a key of the library"

    concept("mug"), concept("pot")
    drive(script)


def test_keys_behind_one_that_opens_a_screen_go_to_that_screen(drive: Callable[..., None], concept: Any) -> None:
    async def script(ui: Any) -> None:
        await ui.sees("mug")
        burst(ui, "n", ("slash", "/"), CLEAR, "/nowhere")
        await ui.until(lambda: isinstance(ui.app.focused, PathInput) and ui.app.focused.value.endswith("/nowhere"))
        burst(ui, ESCAPE, ESCAPE, "r")
        await ui.sees("Rename mug")
        burst(ui, ("end", None), CLEAR, "cup", ENTER)
        await ui.sees("mug is called cup")

    concept("mug")
    drive(script)


def test_what_is_pasted_stays_between_the_keys(drive: Callable[..., None], concept: Any) -> None:
    async def script(ui: Any) -> None:
        await ui.sees("mug")
        burst(ui, ("slash", "/"), "a")
        ui.app.post_message(events.Paste("bc"))
        burst(ui, "d")
        await ui.until(lambda: ui.app.screen.query_one("#filter", Input).value == "abcd")

    concept("mug")
    drive(script)


def test_what_is_typed_as_a_screen_opens_goes_to_its_field(drive: Callable[..., None], concept: Any) -> None:
    """No key has opened it: it came from a worker, and its field has the focus only once it is there."""

    async def script(ui: Any) -> None:
        await ui.sees("mug")
        ui.app.push_screen(PromptScreen(find_concept("mug")))
        burst(ui, ("space", " "), "on the moon")
        await ui.until(lambda: isinstance(ui.app.focused, PromptLine) and ui.app.focused.value.endswith("moon"))
        assert ui.app.focused.value == "a photo of sks mug on the moon"

    concept("mug")
    drive(script)


ANSWERS = (
    "\x1bP1$r48:2::1:2:3m\x1b\\",
    "\x1b_Gi=31;OK\x1b\\",
    "\x1b[6;20;10t",
    "\x1bP>|XTerm(390)\x1b\\",
    "\x1b[?62;4c",
)


@pytest.mark.parametrize("answered", [False, True])
def test_what_a_far_terminal_answers_too_late_is_not_typed(
    answered: bool, drive: Callable[..., None], concept: Any
) -> None:
    async def script(ui: Any) -> None:
        await ui.sees("mug")
        burst(ui, ("slash", "/"))
        line = ui.app.screen.query_one("#filter", Input)
        await ui.until(lambda: line.has_focus)
        for event in XTermParser(False).feed("".join(ANSWERS)):
            ui.app.post_message(event)
        if answered:  # then whoever sends such keys means them
            await ui.until(lambda: line.value.startswith("^P1$r48") and "XTerm(390)" in line.value)
            return
        await ui.pilot.pause(2 * GAP)
        for key in (("circumflex_accent", "^"), ("P", "P"), ("a", "a")):
            burst(ui, key)
            await ui.pilot.pause(2 * GAP)
        await ui.until(lambda: line.value.endswith("a"))
        assert line.value == "^Pa", "what a person types, one after another, is typed"

    concept("mug")
    drive(script, terminal=Capabilities(pictures="half", answered=answered))


def test_a_burst_in_a_real_terminal(terminal: Callable[..., Any], concept: Any) -> None:
    concept("mug")
    with terminal(80, 24) as screen:
        screen.wait_for("mug")
        screen.type("/bq\x15nothing like it\x1b[F!\x15mu\r")
        screen.wait_for("1 of 1")
        assert screen.process.poll() is None
        screen.type("q")
        screen.wait_until_quiet()
        assert screen.process.wait(10) == 0


def test_a_folder_that_was_read_meanwhile_leaves_the_path_alone(drive: Callable[..., None], concept: Any) -> None:
    async def script(ui: Any) -> None:
        await ui.sees("mug")
        burst(ui, "n", ("slash", "/"), CLEAR, "/nowhere")
        await ui.until(lambda: isinstance(ui.app.focused, PathInput) and ui.app.focused.value == "/nowhere")
        line, folder = ui.app.focused, SUBJECTS["teddy-bear"].folder
        ui.app.screen.post_message(FolderRead(folder, sorted(folder.glob("*.jpg"))))
        await ui.until(lambda: ui.app.draft.folder == folder)
        await ui.pilot.pause()
        await ui.pilot.pause()
        assert ui.app.focused is line and line.value == "/nowhere"

    concept("mug")
    drive(script)
