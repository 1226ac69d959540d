"""The chart of the dashboard: read, zoomed, and whole in any window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dbtui.app.screens.dashboard import horizon
from dbtui.app.widgets.chart import Chart
from dbtui.core.run import Run
from tests.app.training import write


def test_the_chart_is_read_and_zoomed_with_the_keyboard(drive: Callable[..., None], live: Run) -> None:
    async def script(ui: Any) -> None:
        await ui.open(live)
        await ui.press("left")
        await ui.sees("step 50")
        await ui.press("left")
        assert "step 50 " not in ui.text and "step 4" in ui.text
        await ui.press("plus")
        await ui.sees("zoomed")
        await ui.press("0")
        assert "zoomed" not in ui.text and "step 4" not in ui.text
        await ui.press("y")
        assert ui.app.screen._loss.plot.logarithmic

    drive(script, (120, 36))


def test_a_chart_is_drawn_anew_in_a_window_of_another_width(drive: Callable[..., None], live: Run, steps: Any) -> None:
    """Also those parts of it that keep their own width."""

    async def script(ui: Any) -> None:
        await ui.open(live)
        chart = ui.app.screen.query_one("#loss", Chart)
        await ui.pilot.resize_terminal(120, 24)
        await ui.sees("a photo of sks rex \u00b7 ")
        for number, width in enumerate((81, 83, 80), 1):
            write(live, *steps(30 + 20 * number + 1, 50 + 20 * number))
            await ui.sees(f"{50 + 20 * number}/200 steps")
            await ui.pilot.resize_terminal(width, 24)
            await ui.until(lambda width=width: chart.plot.chars.shape == (chart.size.height, width - 32))
            await ui.pilot.pause()
            place = chart.content_region
            seen = [line[place.x : place.right] for line in ui.text.splitlines()[place.y : place.bottom]]
            assert seen == ["".join(map(chr, row)) for row in chart.plot.chars.tolist()]
            assert "a photo of sks rex" not in ui.text, "the top line has no room for it"

    drive(script)


def test_the_chart_is_read_with_the_mouse(drive: Callable[..., None], live: Run) -> None:
    async def script(ui: Any) -> None:
        await ui.open(live)
        chart = ui.app.screen._loss
        await ui.pilot.hover(chart, offset=(30, 6))
        await ui.sees("step ")
        assert chart.plot.cursor == round(chart.plot.step_at(29))
        await ui.pilot.hover("#notes")
        await ui.until(lambda: chart.plot.cursor is None)

    drive(script, (120, 36))


def test_the_horizon_doubles_and_ends_at_the_last_step(drive: Callable[..., None], live: Run) -> None:
    async def script(ui: Any) -> None:
        await ui.open(live)
        assert horizon(ui.app.screen.snapshot) == 80

    drive(script)
