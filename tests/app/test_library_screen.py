"""The library: what it lists, and what can be done with an entry."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from dbtui.app import entries
from dbtui.app.entries import Catalog, Entry
from dbtui.app.screens.dashboard import DashboardScreen
from dbtui.app.screens.pictures import PicturesScreen
from dbtui.app.widgets.entry_table import EntryTable
from dbtui.core import paths
from dbtui.core.events import Ended, Started
from dbtui.core.library import exists, find_concept
from dbtui.core.run import Run

STOPPED = Ended(reason="stopped", step=40, message="Stopped (as asked). It can be resumed at step 40.")


async def select(ui: Any, name: str) -> None:
    """Put the cursor on an entry."""
    table = ui.app.screen.query_one(EntryTable)
    await ui.until(lambda: name in ui.text)
    for _ in range(table.row_count):
        if table.current.name == name:
            return
        await ui.press("down")
    assert table.current.name == name


def test_every_state_is_listed_and_a_damaged_entry_hides_no_other(
    drive: Callable[..., None], concept: Any, damaged_concept: Any, run_with: Any, steps: Any
) -> None:
    concept("mug")
    damaged_concept("cup")
    live = run_with([Started(pid=1, steps=500), *steps(1, 125)], "living")
    lock = live.claim()
    run_with([Started(pid=1, steps=500), *steps(1, 40), STOPPED], "halted")
    run_with([Started(pid=1, steps=500), Ended(reason="failed", step=0, message="Out of memory.")], "broken")
    run_with([Started(pid=1, steps=500), *steps(1, 7)], "vanished")

    async def script(ui: Any) -> None:
        await ui.sees("mug", "cup")
        rows = {line.split()[0]: line for line in ui.text.splitlines() if line.strip()}
        assert "done" in rows["mug"] and "200" in rows["mug"]
        assert "damaged" in rows["cup"]
        assert "live" in rows["living"] and "25%" in rows["living"]
        assert "stopped" in rows["halted"] and "8%" in rows["halted"]
        assert "failed" in rows["broken"]
        assert "lost" in rows["vanished"]
        assert ui.app.screen.query_one(EntryTable).current.name == "living", "what is live comes first"

    drive(script)
    live.release(lock)


def test_a_live_run_moves_while_it_is_looked_at(drive: Callable[..., None], run_with: Any, steps: Any) -> None:
    run = run_with([Started(pid=1, steps=100), *steps(1, 10)], **{"training.steps": 100})
    lock = run.claim()

    async def script(ui: Any) -> None:
        await ui.sees("10%", "step 10 of 100")
        from dbtui.core.journal import JournalWriter

        journal = JournalWriter(run.journal)
        for event in steps(11, 50):
            journal.write(event)
        await ui.sees("50%", "step 50 of 100")

    drive(script, (120, 36))
    run.release(lock)


def test_the_filter_shows_what_has_the_word_and_escape_shows_all(drive: Callable[..., None], concept: Any) -> None:
    concept("mug")
    concept("dog", prompt="a photo of sks spaniel")

    async def script(ui: Any) -> None:
        await ui.sees("mug", "dog")
        await ui.press("slash", *"spaniel")
        await ui.until(lambda: ui.app.screen.query_one(EntryTable).row_count == 1)
        assert ui.app.screen.query_one(EntryTable).current.name == "dog"
        await ui.press(*"xyz")
        await ui.sees("Nothing has 'spanielxyz' in it")
        await ui.press("escape")
        await ui.until(lambda: ui.app.screen.query_one(EntryTable).row_count == 2)

    drive(script)


def test_a_filter_that_is_kept_stays_in_view_and_escape_clears_it(drive: Callable[..., None], concept: Any) -> None:
    concept("mug")
    concept("dog")

    async def script(ui: Any) -> None:
        await ui.sees("mug", "dog")
        table = ui.app.screen.query_one(EntryTable)
        assert not ui.app.screen.check_action("show_all", ())
        await ui.press("slash", *"mu", "enter")
        await ui.until(lambda: table.row_count == 1 and table.has_focus)
        assert ui.app.screen.query_one("#filter").display, "why there are so few"
        await ui.press("slash", *"xyz", "enter")
        await ui.sees("Nothing has 'xyz' in it. Esc shows all.")
        await ui.press("escape")
        await ui.until(lambda: table.row_count == 2 and not ui.app.screen.query_one("#filter").display)

    drive(script)


def test_rename_and_a_name_that_is_taken(drive: Callable[..., None], concept: Any) -> None:
    concept("mug")
    concept("dog")

    async def script(ui: Any) -> None:
        await select(ui, "mug")
        await ui.press("r")
        ui.app.screen.query_one(Input).value = "dog"
        await ui.press("enter")
        await ui.sees("The name 'dog' is taken")
        await ui.press("escape")
        await select(ui, "mug")
        await ui.press("r")
        ui.app.screen.query_one(Input).value = "not/a name"
        await ui.press("enter")
        await ui.sees("A name has letters")
        ui.app.screen.query_one(Input).value = "cup"
        await ui.press("enter")
        await ui.until(lambda: exists("cup"))
        await ui.sees("cup")

    drive(script, (120, 36))
    assert find_concept("cup").prompt == "a photo of sks mug" and exists("dog") and not exists("mug")


def test_the_cursor_is_at_the_top_of_a_library_that_is_read_in_parts(
    drive: Callable[..., None], library: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from a slow disk: the run, which is the newest, comes last."""
    monkeypatch.setattr(entries, "PART", 0.0)
    read, parts = Catalog.read, []

    def read_slowly(catalog: Catalog) -> Iterator[list[Entry]]:
        for part in read(catalog):
            parts.append([entry.name for entry in part])
            yield part
            time.sleep(0.3)

    monkeypatch.setattr(Catalog, "read", read_slowly)

    async def script(ui: Any) -> None:
        table = ui.app.screen.query_one(EntryTable)
        await ui.until(lambda: table.row_count == 4)
        assert parts[0][0] != "rex" and table.current.name == "rex"

    drive(script)


def test_delete_says_the_size_and_does_nothing_unless_told(
    drive: Callable[..., None], concept: Any, run_with: Any
) -> None:
    run = run_with([Started(pid=1, steps=5), Ended(reason="done", step=5, concept="mug")], "mug")
    concept("mug", run=run.id)

    async def script(ui: Any) -> None:
        await select(ui, "mug")
        await ui.sees("1.9 MB")
        await ui.press("d")
        await ui.sees("Delete mug?", "1.9 MB would go for good")
        await ui.press("enter")
        await ui.until(lambda: len(ui.app.screen_stack) == 2)
        assert exists("mug") and run.path.is_dir()
        await ui.press("d", "y")
        await ui.until(lambda: not exists("mug"))
        await ui.sees("Try the demo")

    drive(script)
    assert not run.path.exists()


def test_a_damaged_entry_says_what_is_wrong_and_can_be_deleted(
    drive: Callable[..., None], damaged_concept: Any
) -> None:
    folder = damaged_concept("cup")

    async def script(ui: Any) -> None:
        await select(ui, "cup")
        await ui.press("enter")
        await ui.sees("cup is damaged", "concept.toml", "Press d to delete it")
        await ui.press("escape", "d", "y")
        await ui.until(lambda: not folder.exists())

    drive(script)


def test_stop_asks_first_and_then_leaves_a_request(drive: Callable[..., None], run_with: Any, steps: Any) -> None:
    run = run_with([Started(pid=1, steps=100), *steps(1, 10)])
    lock = run.claim()

    async def script(ui: Any) -> None:
        await select(ui, "rex")
        await ui.press("s", "enter")
        assert not list((run.path / "control").iterdir())
        await ui.press("s", "y")
        await ui.until(lambda: (run.path / "control" / "stop.json").exists())

    drive(script)
    assert run.take_stop()
    run.release(lock)


def test_enter_opens_a_run(drive: Callable[..., None], run_with: Any, steps: Any) -> None:
    run: Run = run_with([Started(pid=1, steps=100), *steps(1, 40), STOPPED])

    async def script(ui: Any) -> None:
        await select(ui, "rex")
        await ui.press("enter")
        await ui.until(lambda: isinstance(ui.app.screen, DashboardScreen))
        assert ui.app.screen.training == run
        await ui.sees("It can be resumed at step 40")
        await ui.press("q")
        await ui.until(lambda: not isinstance(ui.app.screen, DashboardScreen))

    drive(script)


def test_an_empty_library_offers_the_demo_first(drive: Callable[..., None]) -> None:
    async def script(ui: Any) -> None:
        await ui.sees("Try the demo", "Teach a new concept")
        await ui.press("down", "enter")
        await ui.until(lambda: isinstance(ui.app.screen, PicturesScreen))
        await ui.press("escape")
        await ui.sees("Try the demo")

    drive(script)
    assert not paths.runs_dir().exists()


def test_a_library_that_cannot_be_read_says_so_and_comes_back(
    drive: Callable[..., None], concept: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    concept("mug")
    monkeypatch.setenv("DBTUI_HOME", str(home / ("x" * 300)))

    async def script(ui: Any) -> None:
        await ui.sees("The library cannot be read", "too long", "dbtui where")
        monkeypatch.setenv("DBTUI_HOME", str(home))
        await ui.sees("mug")

    drive(script)


def test_home_and_end_go_to_the_first_and_the_last(drive: Callable[..., None], concept: Any) -> None:
    for number in range(60):
        concept(f"mug-{number}", created=1.7e9 - number)

    async def script(ui: Any) -> None:
        await ui.sees("mug-0")
        await ui.press("end")
        await ui.until(lambda: ui.app.screen.current.name == "mug-59")
        await ui.press("home")
        await ui.until(lambda: ui.app.screen.current.name == "mug-0")

    drive(script)
