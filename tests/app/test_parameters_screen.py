"""The way to a new concept, second step: the form, what the run will need, and the start."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.widgets import Static

from dbtui.app.dialogs import ErrorDialog, TextDialog
from dbtui.app.draft import Draft
from dbtui.app.outlook import PHOTOS
from dbtui.app.screens.dashboard import DashboardScreen
from dbtui.app.screens.library import LibraryScreen
from dbtui.app.screens.parameters import ParametersScreen, groups
from dbtui.app.screens.pictures import PicturesScreen
from dbtui.app.widgets.choice import Choice
from dbtui.app.widgets.field_row import FieldRow, Line, row_id
from dbtui.core.config import FIELDS, Config
from dbtui.core.library import find_concept
from dbtui.core.presets import preset_config
from dbtui.core.run import runs
from dbtui.core.subjects import SUBJECTS
from dbtui.core.units import format_bytes
from dbtui.jobs import forecast
from dbtui.jobs.begin import check
from dbtui.jobs.room import Room

BEAR = SUBJECTS["teddy-bear"]
GIB = 2**30


async def open_form(ui: Any, preset: str = "mini") -> ParametersScreen:
    """The form for the bear, with a preset."""
    ui.app.draft.use_folder(BEAR.folder)
    ui.app.draft.preset = preset
    await ui.sees("Teach a new concept")
    await ui.press("n")
    await ui.sees("5 photos, all usable")
    await ui.press("c")
    await ui.until(lambda: isinstance(ui.app.screen, ParametersScreen))
    await ui.sees("Needs about" if preset == "mini" else "Base model:")
    screen: ParametersScreen = ui.app.screen
    return screen


def row(ui: Any, key: str) -> FieldRow:
    found: FieldRow = ui.app.screen.query_one(f"#{row_id(key)}", FieldRow)
    return found


async def write(ui: Any, key: str, text: str) -> None:
    """Type ``text`` into a field in the place of what is there."""
    editor = row(ui, key).editor
    assert isinstance(editor, Line)
    editor.focus()
    editor.value = ""
    await ui.pilot.pause()
    editor.post_message(events.Paste(text))
    await ui.pilot.pause()
    await ui.pilot.pause()


def problem(ui: Any, key: str) -> str:
    """What stands under a field."""
    line = row(ui, key).query_one(".problem", Static)
    return str(line.content) if line.display else ""


def test_the_form_has_every_parameter_but_those_of_the_photos_once() -> None:
    keys = [key for group in groups().values() for key in group]
    assert sorted([*keys, *PHOTOS]) == sorted(FIELDS)
    assert keys[:3] == ["concept.name", "concept.prompt", "prior.class_prompt"]


def test_the_prompt_comes_first_and_its_rare_word_is_explained(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        await open_form(ui)
        assert row(ui, "concept.prompt").editor.has_focus
        await ui.sees("a photo of sks", "rare word", "hardly met it", "teddy-bear")
        await ui.press(*" toy")
        assert ui.app.draft.config().concept.prompt == "a photo of sks toy"
        await ui.press("down")
        await ui.sees("The prompt without the rare word", "Typing one turns")

    drive(script)


def test_enter_goes_to_the_next_parameter_from_a_line_and_from_a_choice(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        await open_form(ui)
        await ui.press(*" toy", "enter")
        assert row(ui, "prior.class_prompt").editor.has_focus
        await ui.press("enter", "enter", *"12", "enter")
        assert row(ui, "model.base").editor.has_focus
        config = ui.app.draft.config()
        assert (config.concept.prompt, config.prior.class_images) == ("a photo of sks toy", 12)

    drive(script)


def test_what_cannot_be_is_said_under_its_field_in_its_own_words(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        await open_form(ui)
        await write(ui, "training.steps", "many")
        assert problem(ui, "training.steps") == "Allowed: 1 to 1,000,000."
        await ui.sees("1 parameter to mend: Steps.")
        await ui.press("f2")
        await write(ui, "training.ema_decay", "2")
        row(ui, "concept.prompt").editor.focus()
        await ui.press("f5")
        assert row(ui, "training.steps").editor.has_focus and not runs()[:], "what is wrong has the focus"
        await write(ui, "training.steps", "7")
        await ui.press("f2")
        assert not row(ui, "training.ema_decay").display
        await ui.press("f5")
        await ui.until(lambda: row(ui, "training.ema_decay").editor.has_focus)
        assert problem(ui, "training.ema_decay").startswith("Allowed: 0 to 0.99999")
        await ui.press("f6")
        await ui.sees("Needs about")
        assert ui.app.draft.config().training.ema_decay == 0.999 and ui.app.draft.config().training.steps == 7

    drive(script)


def test_a_preset_changes_all_but_what_was_typed_and_marks_that(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        screen = await open_form(ui)
        await write(ui, "training.steps", "321")
        await write(ui, "training.learning_rate", "abc")
        preset = screen.query_one("#preset", Choice)
        preset.focus()
        await ui.press("left", "left")
        assert ui.app.draft.preset == "tutorial"
        await ui.sees("The settings of the well-known DreamBooth tutorial")
        shown = ui.app.draft.texts()
        assert row(ui, "training.steps").editor.value == "321" == shown["training.steps"]
        assert row(ui, "training.learning_rate").editor.value == "abc"
        tutorial = preset_config("tutorial")
        for key in (
            k for group in groups().values() for k in group if not k.startswith(("training.steps", "training.l"))
        ):
            assert row(ui, key).editor.value == FIELDS[key].format(tutorial[key]), key
        marked = {r.spec.key for r in screen.query(FieldRow) if r.has_class("-changed")}
        assert marked == {"training.steps", "training.learning_rate"}
        await write(ui, "training.learning_rate", "5e-06")
        assert not row(ui, "training.learning_rate").has_class("-changed"), "as the preset has it"
        await write(ui, "training.learning_rate", "1e-5")
        row(ui, "training.steps").editor.focus()
        await ui.press("f6")
        assert row(ui, "training.steps").editor.value == "500"
        assert row(ui, "training.learning_rate").editor.value == "1e-5"
        await ui.press("f7", "n")
        assert ui.app.draft.typed == {"training.learning_rate": "1e-5"}
        await ui.press("f7", "y")
        assert not ui.app.draft.typed and ui.app.draft.config().training == tutorial.training

    drive(script)


def test_the_preset_follows_the_model_until_one_is_chosen(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        screen = await open_form(ui, "")
        assert screen.query_one("#preset", Choice).value == "balanced"
        assert "is not on this machine" in problem(ui, "model.base")
        await write(ui, "model.base", "mini")
        assert screen.query_one("#preset", Choice).value == "mini"
        assert row(ui, "training.steps").editor.value == "300"
        await ui.sees("Needs about")
        assert problem(ui, "model.base") == ""
        await write(ui, "model.base", "/nowhere/at/all")
        await ui.sees("Base model:")
        assert "There is no model" in problem(ui, "model.base")
        await write(ui, "data.resolution", "100")
        await write(ui, "model.base", "mini")
        await ui.until(lambda: problem(ui, "data.resolution") == "data.resolution cannot be 100.")
        await ui.sees("Resolution: This model draws in multiples of")

    drive(script)


def test_a_class_prompt_turns_prior_preservation_on_and_none_off(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        await open_form(ui)
        await write(ui, "prior.class_prompt", "a photo of a toy")
        assert row(ui, "prior.enabled").editor.value == "true"
        assert ui.app.draft.config().prior.enabled
        assert row(ui, "training.learning_rate").editor.value == "0.0003", "as the preset has it beside class pictures"
        await write(ui, "concept.prompt", "a photo of a toy")
        await ui.sees("The class prompt is the prompt")
        await write(ui, "prior.class_prompt", "")
        assert not ui.app.draft.config().prior.enabled

    drive(script)


def test_advanced_parameters_are_folded_until_they_are_asked_for(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        screen = await open_form(ui)

        def seen() -> set[str]:
            return {r.spec.key for r in screen.query(FieldRow) if r.display}

        assert seen() == {key for key, spec in FIELDS.items() if not spec.advanced and key not in PHOTOS}
        await ui.press("f2")
        assert seen() == set(FIELDS) - set(PHOTOS)
        row(ui, "training.ema_decay").editor.focus()
        await ui.press("f2")
        assert screen.focused is row(ui, "concept.prompt").editor

    drive(script)


def test_the_mouse_chooses(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        screen = await open_form(ui)
        await ui.pilot.click("#preset", offset=(13, 0))
        await ui.sees("Preset tutorial")
        assert ui.app.draft.preset == "tutorial"
        await ui.pilot.click("#preset", offset=(70, 0))
        assert ui.app.draft.preset == "tutorial", "beside the words"
        await ui.pilot.click(row(ui, "prior.enabled").editor, offset=(1, 0))
        assert ui.app.draft.config().prior.enabled and screen.query_one("#preset", Choice).value == "tutorial"

    drive(script, (120, 36))


def test_what_was_typed_survives_leaving_the_screen_and_the_way(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        await open_form(ui)
        await write(ui, "concept.prompt", "a photo of sks bear")
        await write(ui, "training.steps", "4o0")
        await ui.press("escape")
        await ui.until(lambda: isinstance(ui.app.screen, PicturesScreen))
        await ui.press("escape")
        await ui.until(lambda: isinstance(ui.app.screen, LibraryScreen))
        await ui.press("n")
        await ui.sees("5 photos, all usable")
        await ui.press("c")
        await ui.sees("a photo of sks bear", "1 parameter to mend")
        assert row(ui, "training.steps").editor.value == "4o0" and problem(ui, "training.steps")
        assert row(ui, "model.base").editor.value == "mini"

    drive(script)


@pytest.mark.parametrize("text", ["фото sks игрушки 玩具 לילה", "x" * 10_000], ids=["any script", "ten thousand"])
def test_any_text_can_be_pasted(drive: Callable[..., None], text: str) -> None:
    async def script(ui: Any) -> None:
        await open_form(ui)
        await write(ui, "concept.prompt", text)
        assert ui.app.draft.config().concept.prompt == text
        await ui.press("x")
        assert bool(problem(ui, "concept.prompt")) == (len(text) == 10_000), "more is refused, and still there"
        assert row(ui, "concept.prompt").editor.value == text + "x"

    drive(script)


def test_lines_that_are_pasted_become_one_and_drive_no_terminal(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        await open_form(ui)
        await write(ui, "concept.prompt", "a photo\nof\tsks\r\ntoy \x1b[2J")
        assert ui.app.draft.config().concept.prompt == "a photo of sks toy \\x1b[2J"

    drive(script)


def test_the_toml_is_that_of_the_config(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        screen = await open_form(ui)
        await write(ui, "training.steps", "321")
        await write(ui, "sampling.prompts", "sks toy on the moon | sks toy in Paris")
        screen.draft.toggle("1.jpg")
        await ui.press("f3")
        await ui.until(lambda: isinstance(ui.app.screen, TextDialog))
        text = ui.app.screen._text.plain
        assert text == screen.draft.config().to_toml()
        config = Config.from_toml(text)
        assert config.training.steps == 321 and config.data.exclude == ["1.jpg"]
        assert config.sampling.prompts == ["sks toy on the moon", "sks toy in Paris"]
        assert config == preset_config("mini").replace(
            {
                "training.steps": 321,
                "data.folder": str(BEAR.folder),
                "data.exclude": ["1.jpg"],
                "sampling.prompts": ["sks toy on the moon", "sks toy in Paris"],
            }
        )

    drive(script)


def test_the_forecast_follows_what_is_typed(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        screen = await open_form(ui)

        def disk() -> str:
            return str(screen.query_one("#outlook", Static).content).split("memory, ")[-1]

        before = disk()
        await write(ui, "training.checkpoint_every", "0")
        await ui.until(lambda: "on disk" in disk() and disk() != before)

    drive(script)


def test_what_does_not_fit_is_made_to_fit_with_a_key(
    drive: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gpu(size: int) -> None:
        monkeypatch.setattr(forecast, "find_room", lambda processes: Room("cuda", "Small GPU", size, size))

    gpu(80 * GIB)
    draft = Draft(BEAR.folder, preset="mini")
    draft.apply({"training.ema": True, "training.batch_size": 8})
    size = int(check(draft.config()).forecast.budget.memory_needed * 0.94)
    gpu(size)

    async def script(ui: Any) -> None:
        ui.app.draft = draft
        await ui.sees("Teach a new concept")
        await ui.press("n")
        await ui.sees("5 photos")
        await ui.press("c")
        await ui.sees("This does not fit the memory", "F4 makes it fit:")
        before = dict(ui.app.draft.typed)
        await ui.press("f4")
        await ui.sees("Needs about", f"of {format_bytes(size)} of memory")
        assert ui.app.draft.typed != before and not ui.app.screen.check_action("fit", ())

    drive(script, (120, 36))


def test_a_name_that_is_taken_is_said_at_once(drive: Callable[..., None], concept: Any) -> None:
    concept("mug")

    async def script(ui: Any) -> None:
        ui.app.draft.use_folder(BEAR.folder)
        ui.app.draft.preset = "mini"
        await ui.sees("mug")
        await ui.press("n")
        await ui.sees("5 photos")
        await ui.press("c")
        await ui.sees("Needs about")
        await write(ui, "concept.name", "mug")
        await ui.until(lambda: problem(ui, "concept.name") == "The name 'mug' is taken.")
        await write(ui, "concept.name", "a/b")
        await ui.until(lambda: "cannot be a name" in problem(ui, "concept.name"))
        await ui.press("f5")
        await ui.until(lambda: isinstance(ui.app.screen, ErrorDialog))
        await ui.press("escape")
        assert not runs() and ui.app.screen.check_action("start", ())
        await write(ui, "concept.name", "cup")
        await ui.sees("Needs about")

    drive(script)


def test_a_start_teaches_exactly_what_is_shown(drive: Callable[..., None], tmp_path: Path) -> None:
    photos = Path(shutil.copytree(BEAR.folder, tmp_path / "my bear"))

    async def script(ui: Any) -> None:
        ui.app.draft.use_folder(photos)
        ui.app.draft.preset = "mini"
        await ui.sees("Teach a new concept")
        await ui.press("n")
        await ui.sees("5 photos, all usable")
        await ui.press("tab", "x")
        await ui.sees("4 photos to learn from")
        await ui.press("c")
        await ui.sees("Needs about")
        for key, text in {
            "concept.prompt": "a photo of sks toy",
            "data.resolution": "64",
            "training.steps": "2",
            "training.batch_size": "1",
            "sampling.every": "0",
        }.items():
            await write(ui, key, text)
        asked = ui.app.draft.config()
        await ui.press("f5")
        await ui.until(lambda: isinstance(ui.app.screen, DashboardScreen))
        run = ui.app.screen.training
        completed = {"concept.name": "my-bear", "model.prediction": "epsilon"}
        assert run.config == asked.replace(completed)
        assert [Path(source["path"]).name for source in run.sources()] == ["2.jpg", "3.jpg", "4.jpg", "5.jpg"]
        assert not ui.app.draft.typed and len(ui.app.screen_stack) == 3, "only the library is below"
        await ui.until(lambda: run.state().over)
        assert run.state().name == "done", run.state()
        await ui.press("q")
        await ui.until(lambda: isinstance(ui.app.screen, LibraryScreen))

    drive(script)
    assert find_concept("my-bear").steps == 2
