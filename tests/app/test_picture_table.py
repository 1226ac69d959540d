"""A table with more rows and columns than the window has room for."""

from __future__ import annotations

import asyncio

from textual.app import App, ComposeResult

from dbtui.app.widgets.picture_grid import Cell, PictureTable, PictureTile


class Place(App[None]):
    def compose(self) -> ComposeResult:
        yield PictureTable(id="grid")


def test_the_cursor_takes_the_view_along_rows_and_columns() -> None:
    async def session() -> None:
        app = Place()
        async with app.run_test(size=(44, 12)) as pilot:
            table = app.query_one(PictureTable)
            table.styles.height, table.styles.width = "100%", "100%"
            table.styles.layout = "grid"
            cells = [Cell(words=f"{row}-{column}") for row in range(4) for column in range(7)]
            table.show(cells, 7)
            await pilot.pause()

            def captions() -> list[str]:
                tiles = [tile for tile in table.query_children(PictureTile) if tile.display]
                return [str(tile.query_one(".caption").render()) for tile in tiles]  # type: ignore[attr-defined]

            assert captions() == ["0-0", "0-1", "0-2", "1-0", "1-1", "1-2"]
            assert table.border_subtitle == "columns 1-3 of 7 \u00b7 rows 1-2 of 4"
            table.focus()
            for key, first in (("right", 0), ("right", 0), ("right", 1), ("down", 1), ("down", 8), ("left", 8)):
                await pilot.press(key)
                await pilot.pause()
                assert table.seen[0] == first
            assert captions() == ["1-1", "1-2", "1-3", "2-1", "2-2", "2-3"]
            await pilot.press("end")
            await pilot.pause()
            assert captions()[-1] == "3-6" and table.cursor == 27
            assert table.border_subtitle == "columns 5-7 of 7 \u00b7 rows 3-4 of 4"
            await pilot.resize_terminal(120, 40)
            await pilot.pause()
            assert table.seen == list(range(28)) and not table.border_subtitle

    asyncio.run(session())
