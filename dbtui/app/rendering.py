"""A picture as lines of the terminal. Called in threads: what decodes pictures is loaded with the first of them."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip

from dbtui.app.pictures import Drawing, LayOut, Order, Part
from dbtui.core import blocks, kitty, sixel
from dbtui.core.dataset import UnusableError, open_picture
from dbtui.core.errors import printable
from dbtui.core.tty import Capabilities


def make_drawing(order: Order, terminal: Capabilities, lay_out: LayOut) -> Drawing:
    """Decode, lay out and scale a picture for the terminal. Never raises: what went wrong is said in its place."""
    cell_width, cell_height = terminal.cell
    box = Size(order.box.width * cell_width, order.box.height * cell_height)
    source, off = order.source, terminal.pictures == "off"
    try:
        image = source if isinstance(source, Image.Image) else open_picture(source, 0 if off else min(box))
        if off:
            return Drawing(words=f"{image.width} x {image.height} pixels")
        image = lay_out(image.convert("RGB"), box)
        if order.part is not None:
            image = part_of(image, order.part, box)
        most = (min(order.box.width, kitty.LARGEST), min(order.box.height, kitty.LARGEST))
        place = blocks.fit(image.size, most, terminal.cell)
        if terminal.pictures == "kitty":
            return _in_pixels(image, place, terminal)
        above = sixel.draw(image, place, terminal.cell) if terminal.pictures == "sixel" else ""
        cells = blocks.WAYS.get(terminal.pictures, blocks.quarters)(image, *place)
        return Drawing([_strip(row) for row in cells.runs()], above=above)
    except UnusableError as error:
        return Drawing(words=f"There is no picture: {printable(error)}.")
    except (OSError, ValueError, MemoryError) as error:
        return Drawing(words=f"The picture cannot be shown: {printable(error) or 'there is too little memory'}.")


def part_of(image: Image.Image, part: Part, size: Size) -> Image.Image:
    """``part`` of a picture, scaled to ``size``; black is what reaches beyond."""
    left, top, right, bottom = part
    across, down = size.width / (right - left), size.height / (bottom - top)
    box = (max(0.0, left), max(0.0, top), min(image.width, right), min(image.height, bottom))
    scaled = Size(round((box[2] - box[0]) * across), round((box[3] - box[1]) * down))
    whole = Image.new("RGB", size)
    if box[0] < box[2] and box[1] < box[3] and scaled.area:
        place = round((box[0] - left) * across), round((box[1] - top) * down)
        whole.paste(image.resize(scaled, Image.Resampling.LANCZOS, box=box), place)
    return whole


def _in_pixels(image: Image.Image, place: tuple[int, int], terminal: Capabilities) -> Drawing:
    """By kitty's graphics. Through SSH with fewer colours, which a thumbnail does not miss."""
    columns, rows = place
    number = kitty.new_number()
    small = image.copy()
    small.thumbnail((columns * terminal.cell[0], rows * terminal.cell[1]), Image.Resampling.LANCZOS)
    data = kitty.send(small, number, place, tmux=terminal.within == "tmux", sparing=terminal.ssh)
    style = Style(color=Color.from_rgb(*kitty.colour(number)))
    return Drawing(
        [Strip([Segment(text, style)], columns) for text in kitty.placeholders(columns, rows)], "", data, number
    )


def _strip(row: list[tuple[str, tuple[int, ...], tuple[int, ...]]]) -> Strip:
    return Strip([Segment(text, _style(front, back)) for text, front, back in row])


@lru_cache(1 << 15)
def _style(front: tuple[int, int, int], back: tuple[int, int, int]) -> Style:
    return Style(color=Color.from_rgb(*front), bgcolor=Color.from_rgb(*back))
