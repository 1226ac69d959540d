"""A base model of the hub in the app: looked up once its name is whole, and downloaded only after a yes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from textual.widgets import Static

from dbtui.app.app import DbtuiApp
from dbtui.app.dialogs import ConfirmDialog
from dbtui.app.draft import Draft
from dbtui.app.messages import OpenNew, OpenParameters
from dbtui.app.screens.parameters import ParametersScreen
from dbtui.app.screens.pictures import PicturesScreen
from dbtui.app.widgets.field_row import FieldRow, row_id
from dbtui.core.run import runs
from dbtui.core.subjects import SUBJECTS


@pytest.mark.usefixtures("hub_here")
def test_a_model_is_asked_for_once_its_name_is_whole_and_not_downloaded_without_a_yes(hub: Any) -> None:
    async def script() -> None:
        app = DbtuiApp()
        app.draft = Draft(SUBJECTS["robot"].folder, preset="mini")
        async with app.run_test(size=(120, 36)) as pilot:

            async def until(condition: Callable[[], object]) -> None:
                async with asyncio.timeout(30):
                    while not condition():
                        await pilot.pause(0.02)

            def outlook() -> str:
                return str(app.screen.query_one("#outlook", Static).content)

            app.screen.post_message(OpenNew())
            await until(lambda: isinstance(app.screen, PicturesScreen))
            app.screen.post_message(OpenParameters())
            await until(lambda: isinstance(app.screen, ParametersScreen) and "Needs" in outlook())
            app.screen.query_one(f"#{row_id('model.base')}", FieldRow).editor.focus()
            app.draft.typed["model.base"] = "tiny/s"
            app.screen._show_all()
            await pilot.press("end", "d")
            await until(lambda: "asked once this field is left" in outlook())
            assert app.draft.typed["model.base"] == "tiny/sd" and not hub.seen
            answer = threading.Event()
            hub.fail("model_index.json", stall=answer)
            await pilot.press("down")
            await until(lambda: outlook().startswith("Asking the hub for the base model"))
            answer.set()
            await until(lambda: outlook().startswith("Needs about"))
            assert hub.asked("model_index.json") and not hub.asked(".safetensors")
            await pilot.press("f5")
            await until(lambda: isinstance(app.screen, ConfirmDialog))
            await until(lambda: "tiny/sd is not on this machine" in str(app.screen.query_one(Static).content))
            await pilot.press("n")
            await until(lambda: isinstance(app.screen, ParametersScreen) and outlook().startswith("Needs"))
            assert not hub.asked(".safetensors") and not runs() and app.screen.check_action("start", ())

    asyncio.run(script())
