"""Tiles in rows and columns, of which there are as many as can be seen, and a cursor that moves over all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.containers import Container, Vertical
from textual.message import Message

from dbtui.core.grid import best_columns

LEAST = (16, 7)
"""Columns and rows below which a picture cannot be told from another."""


class Tile(Vertical):
    """Shows whatever its grid gives it."""

    @property
    def grid(self) -> TileGrid:
        assert isinstance(self.parent, TileGrid)
        return self.parent

    def on_mount(self) -> None:
        self.grid.draw(self)

    def on_click(self, event: events.Click) -> None:
        self.grid.clicked(self, event.chain > 1)


class TileGrid(Container, can_focus=True):
    """A subclass makes the tiles, and fills them by their place among ``count``."""

    least: ClassVar[tuple[int, int]] = LEAST

    @dataclass
    class Moved(Message):
        """The cursor is on another tile."""

    @dataclass
    class Opened(Message):
        """The tile under the cursor was clicked twice."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.count = 0
        self._columns, self._rows = 1, 1
        self._first = 0
        self._cursor = 0

    def make_tile(self) -> Tile:
        raise NotImplementedError

    def fill(self, tile: Tile, place: int) -> None:
        """Show in ``tile`` what belongs at ``place``."""
        raise NotImplementedError

    def filled(self) -> None:
        """All tiles have been filled."""

    def columns_for(self, width: int, height: int) -> int:
        """Into how many columns the tiles go, in a room of so many cells."""
        most = max(1, width // self.least[0]), max(1, height // self.least[1])
        return min(best_columns(max(1, min(self.count, most[0] * most[1])), 1.0, width, height * 2), most[0])

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def wide(self) -> int:
        """Places in a row, in view or not."""
        return self._columns

    @property
    def seen(self) -> list[int]:
        """The places that are in view."""
        places = (self._place_at(index) for index in range(self._columns * self._rows))
        return [place for place in places if place < self.count]

    def _place_at(self, index: int) -> int:
        """What the tile ``index`` shows."""
        row, column = divmod(index, self._columns)
        return self._first + row * self.wide + column

    def start_over(self, count: int, cursor: int = 0) -> None:
        """There are other things to show, ``count`` of them."""
        self.count, self._cursor = count, max(0, min(cursor, count - 1))
        self._lay_out()
        self.post_message(self.Moved())

    def fill_all(self) -> None:
        for tile in self.query_children(Tile):
            self.draw(tile)
        self.filled()

    def draw(self, tile: Tile) -> None:
        """Show in ``tile`` what belongs there, if it can be seen."""
        index = self.children.index(tile)
        place = self._place_at(index)
        tile.display = index < self._columns * self._rows
        tile.visible = place < self.count
        tile.set_class(place == self._cursor, "-cursor")
        if tile.is_mounted and tile.display and tile.visible:
            self.fill(tile, place)

    def draw_place(self, place: int) -> None:
        """Show what has come to ``place``."""
        tiles = self.query_children(Tile)
        seen = self.seen
        if place in seen and seen.index(place) < len(tiles):
            self.draw(tiles[seen.index(place)])

    def move_to(self, place: int) -> None:
        place = max(0, min(place, self.count - 1))
        if self.count and place != self._cursor:
            self._cursor = place
            self._scroll()
            self.fill_all()
            self.post_message(self.Moved())

    def clicked(self, tile: Tile, twice: bool) -> None:
        place = self._place_at(self.children.index(tile))
        if place < self.count:
            self.focus()
            self.move_to(place)
            if twice:
                self.post_message(self.Opened())

    def action_move(self, right: int, down: int) -> None:
        self.move_to(self._cursor + right + down * self.wide)

    def action_page(self, pages: int) -> None:
        self.move_to(self._cursor + pages * self.wide * self._rows)

    def action_end(self, last: bool) -> None:
        self.move_to(self.count - 1 if last else 0)

    def on_mouse_scroll_down(self) -> None:
        self.action_move(0, 1)

    def on_mouse_scroll_up(self) -> None:
        self.action_move(0, -1)

    def on_resize(self, event: events.Resize) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        """Choose columns and rows for the room there is, and have a tile for each place."""
        width, height = self.content_size
        if not width or not height:
            return
        self._columns = self.columns_for(width, height)
        self._rows = max(1, min(max(1, height // self.least[1]), -(-self.count // self.wide)))
        self.styles.grid_size_columns, self.styles.grid_size_rows = self._columns, self._rows
        self.styles.grid_columns = str((width - self._columns + 1) // self._columns)  # all alike, to the cell
        self.styles.grid_rows = str(height // self._rows)
        tiles, wanted = len(self.query_children(Tile)), self._columns * self._rows
        if tiles < wanted:
            self.mount(*(self.make_tile() for _ in range(wanted - tiles)))
        self._scroll()
        self.call_after_refresh(self.fill_all)

    def _scroll(self) -> None:
        """Have the cursor in view."""
        (row, column), (top, left) = divmod(self._cursor, self.wide), divmod(self._first, self.wide)
        top = _in_view(row, top, self._rows, -(-self.count // self.wide))
        self._first = top * self.wide + _in_view(column, left, self._columns, self.wide)


def _in_view(place: int, first: int, length: int, count: int) -> int:
    """Where a view of ``length`` of ``count`` begins that has ``place`` in it, as near to ``first`` as can be."""
    return min(max(min(first, place), place - length + 1), max(0, count - length))
