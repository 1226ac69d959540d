"""What every dialog looks like, and that the key which leaves it can be seen and does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.content import Content
from textual.screen import Screen

from dbtui.app.dialogs import ConfirmDialog, ErrorDialog, PromptDialog, TextDialog
from dbtui.app.draft import Draft
from dbtui.app.messages import OpenCompare, OpenPrompt
from dbtui.app.screens.addresses import AddressesDialog
from dbtui.app.screens.export import ExportDialog
from dbtui.app.screens.photo import PhotoDialog
from dbtui.core.errors import DbtuiError, UsageError
from dbtui.core.events import Phase
from dbtui.core.export import Order
from dbtui.core.library import find_concept
from dbtui.core.tty import Capabilities
from dbtui.jobs.export import Exported, Exporter
from tests.app.looks import looks

SIZES = [(80, 24), (120, 36)]
GB = 1024**3
LONG = "/home/ada/.local/share/dbtui/" + "/".join(["a-folder-of-a-long-name"] * 4)


def refuse(name: str) -> None:
    raise UsageError(
        "The name is taken", "The library has a concept of that name; nothing was changed.", "Choose another."
    )


ORDER = Order(concept="mug", destination="/home/ada/mug", format="diffusers")


async def show(ui: Any, screen: Screen[Any]) -> None:
    ui.app.push_screen(screen)
    await ui.until(lambda: ui.app.screen is screen)


async def confirm(ui: Any) -> None:
    text = f"67.8 MB would go for good:\n{LONG}\n/home/ada/.local/share/dbtui/runs/20250615-150000-mug"
    await show(ui, ConfirmDialog("Delete mug?", text, "Delete"))


async def rename(ui: Any) -> None:
    dialog = PromptDialog("Rename mug", "Letters, digits, '-' and '_'.", "mug", refuse)
    await show(ui, dialog)
    await ui.press("enter")


async def save(ui: Any) -> None:
    await show(ui, PromptDialog("Save as", "A path; a folder gets the picture under its own name.", f"{LONG}/mug.png"))


async def config(ui: Any) -> None:
    lines = ["[training]", "# Learning rate: " + "how far a step goes. " * 8, "learning_rate = 5e-6"]
    await show(ui, TextDialog("The run's config", Content("\n".join(lines))))


async def log(ui: Any) -> None:
    lines = [f"12:00:{number:02}  Checkpoint at step {number}: {LONG}" for number in range(40)]
    await show(ui, TextDialog("log", Content("\n").join(Content(line) for line in lines), end=True))


async def error(ui: Any) -> None:
    message = f"The disk of {LONG} is full. What was finished before is kept."
    await show(ui, ErrorDialog(DbtuiError("A picture could not be written", message, "Make room on it.")))


async def traceback(ui: Any) -> None:
    lines = [f'  File "dbtui/app/screens/prompt.py", line {number}, in draw' for number in range(40)]
    text = "\n".join(["Traceback (most recent call last):", *lines, "RuntimeError: \x1b]0;boom\x07"])
    await show(ui, ErrorDialog(DbtuiError("Something went wrong in dbtui", text, "Trainings are not touched by it.")))


async def help_of_library(ui: Any) -> None:
    await ui.press("question_mark")


async def help_of_prompt(ui: Any) -> None:
    ui.app.screen.post_message(OpenPrompt(find_concept("mug")))
    await ui.sees("Write a prompt")
    await ui.press("f1")


async def columns(ui: Any) -> None:
    ui.app.screen.post_message(OpenCompare(find_concept("mug")))
    await ui.sees("only before and after")
    await ui.press("f4")
    await ui.sees("teapot, taught")


async def addresses(ui: Any) -> None:
    urls = [f"https://example.org/photos/{number}.jpg" for number in range(12)]
    await show(ui, AddressesDialog(Draft(urls=urls)))


async def export(ui: Any) -> ExportDialog:
    dialog = ExportDialog(find_concept("mug"))
    await show(ui, dialog)
    await ui.until(lambda: dialog._looked is not None)
    dialog.query_one("#to").value = "/home/ada/of/dbtui/mug"
    await ui.sees("There is no such folder")  # from here on, what this machine has is not asked about
    return dialog


async def export_asked(ui: Any) -> None:
    dialog = await export(ui)
    dialog.post_message(ExportDialog.Looked(ORDER, 2 * GB, 100 * GB, taken=True))
    await ui.sees("100 GB are free")


async def export_refused(ui: Any) -> None:
    dialog = await export(ui)
    problem = DbtuiError(
        "There is not enough room", "The export takes 2.0 GB and /home/ada has 0.3 GB free. Nothing was written.",
        "Make room, name another disk, or say --half for half the size.",
    )  # fmt: skip
    dialog.post_message(ExportDialog.Looked(None, problem=problem))
    await ui.sees("There is not enough room")


async def export_begun(ui: Any) -> None:
    dialog = await export(ui)
    dialog._exporter = Exporter(ORDER, Path("none"))
    dialog._show_form(False, "esc: end it")
    await ui.until(lambda: not dialog.query_one("#export-form").region)  # what is drawn next knows its room
    for time, done in ((0.0, 0), (1.0, GB // 2)):
        dialog.post_message(
            ExportDialog.Progressed(Phase(time=time, name="writing the model", done=done, total=GB, unit="bytes"))
        )
        await ui.sees(f"{done / GB:.0%}")  # each by itself, so that there is a speed


async def export_done(ui: Any) -> None:
    dialog = await export(ui)
    dialog.post_message(ExportDialog.Finished(Exported(ORDER.path, 2 * GB, 1130, 128, 0.0)))
    await ui.sees("Exported")


async def photo(ui: Any) -> None:
    file = find_concept("mug").path / "wide.png"
    Image.new("RGB", (300, 200), "orange").save(file)
    await show(ui, PhotoDialog(file, "seed 7 \u00b7 a photo of sks mug " + "on the beach " * 20))
    await ui.until(lambda: "Reading" not in ui.text)


async def photo_that_is_none(ui: Any) -> None:
    await show(ui, PhotoDialog(find_concept("mug").path / "concept.toml"))
    await ui.sees("cannot be shown")


async def settings(ui: Any) -> None:
    ui.app.terminal = Capabilities("256", "blocks", name="XTerm(390)", hint="A sentence of advice.", found="blocks")
    await ui.press("f9")
    await ui.until(lambda: "\u2588" in ui.text or "\u2580" in ui.text)


DIALOGS: dict[str, tuple[Callable[[Any], Awaitable[object]], str]] = {
    "confirm": (confirm, "n No"),
    "rename": (rename, "esc Cancel"),
    "save": (save, "esc Cancel"),
    "config": (config, "esc Close"),
    "log": (log, "esc Close"),
    "error": (error, "esc Close"),
    "traceback": (traceback, "esc Close"),
    "help-library": (help_of_library, "esc Close"),
    "help-prompt": (help_of_prompt, "esc Close"),
    "columns": (columns, "esc Cancel"),
    "addresses": (addresses, "esc Cancel"),
    "export": (export_asked, "esc Close"),
    "export-refused": (export_refused, "esc Close"),
    "export-begun": (export_begun, "esc Close"),
    "export-done": (export_done, "esc Close"),
    "photo": (photo, "esc"),
    "settings": (settings, "esc Close"),
    "photo-none": (photo_that_is_none, "esc Close"),
}
"""How each is opened, and the words of the key that leaves it."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", DIALOGS)
def test_a_dialog_looks_as_it_is_kept(
    name: str, size: tuple[int, int], drive: Callable[..., None], library: Any, utc: None
) -> None:
    opened, leave = DIALOGS[name]

    async def script(ui: Any) -> None:
        await ui.sees("rex", "mug", "cup", " KB")
        # What lies below a dialog is drawn as it was when that opened.
        await ui.until(lambda: all(entry.size is not None for entry in ui.app.screen._entries))
        await ui.pilot.pause()
        await opened(ui)
        await looks(ui, f"dialog-{name}-{size[0]}x{size[1]}", lambda: ui.text)
        assert leave in ui.text.splitlines()[-1]

    drive(script, size)


@pytest.mark.parametrize("size", SIZES)
def test_the_first_window_looks_as_it_is_kept(size: tuple[int, int], drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        await ui.sees("Try the demo")
        await looks(ui, f"welcome-{size[0]}x{size[1]}", lambda: ui.text)

    drive(script, size)
