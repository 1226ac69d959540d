"""The two themes of the app. Their colours stay apart when a terminal has only sixteen."""

from __future__ import annotations

from collections.abc import Mapping

from rich.style import Style
from textual.color import Color
from textual.theme import Theme

PLOT = ("plot-line", "plot-raw", "plot-grid")
"""Variables of ours that the stylesheets use, beside Textual's."""

DARK = Theme(
    name="dbtui-dark",
    dark=True,
    primary="#6cb6ff",
    secondary="#b18cff",
    accent="#ffb454",
    success="#7ee787",
    warning="#ffd166",
    error="#ff7b72",
    foreground="#d5dbe6",
    background="#0c0f14",
    surface="#0c0f14",
    panel="#151a23",
    variables={
        "text-muted": "#8b95a7",
        "border": "#465063",
        "border-blurred": "#323b4b",
        "block-cursor-background": "#2b5c8f",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-blurred-background": "#1d2a3d",
        "block-hover-background": "#151a23",
        "scrollbar": "#323b4b",
        "scrollbar-background": "#0c0f14",
        "scrollbar-corner-color": "#0c0f14",
        "input-selection-background": "#2b5c8f",
        "plot-line": "#ffb454",
        "plot-raw": "#4a7ab0",
        "plot-grid": "#232a36",
    },
)

LIGHT = Theme(
    name="dbtui-light",
    dark=False,
    primary="#0a66c2",
    secondary="#6d3fc0",
    accent="#c2410c",
    success="#15803d",
    warning="#a16207",
    error="#b91c1c",
    foreground="#1f2430",
    background="#fbfbf9",
    surface="#fbfbf9",
    panel="#eff1f4",
    variables={
        "text-muted": "#667080",
        "border": "#9aa4b2",
        "border-blurred": "#b8c0cc",
        "block-cursor-background": "#0a66c2",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-blurred-background": "#cfe0f3",
        "block-hover-background": "#eff1f4",
        "scrollbar": "#b8c0cc",
        "scrollbar-background": "#fbfbf9",
        "scrollbar-corner-color": "#fbfbf9",
        "input-selection-background": "#cfe0f3",
        "plot-line": "#c2410c",
        "plot-raw": "#7fa8d6",
        "plot-grid": "#e3e6eb",
    },
)

SIXTEEN = Theme(
    name=LIGHT.name,
    dark=False,
    primary="#0000aa",
    secondary="#aa00aa",
    accent="#aa00aa",
    success="#0000aa",
    warning="#aa00aa",
    error="#aa0000",
    foreground="#000000",
    background="#ffffff",
    surface="#ffffff",
    panel="#ffffff",
    variables={
        **LIGHT.variables,
        **dict.fromkeys(("text-muted", "text-disabled", "border", "border-blurred", "scrollbar"), "#555555"),
        **dict.fromkeys(("block-cursor-blurred-background", "block-hover-background", "plot-grid"), "#aaaaaa"),
        "block-cursor-background": "#0000aa",
        "plot-line": "#aa00aa",
        "plot-raw": "#0000aa",
    },
)
"""The light one where there are sixteen colours, of which only blue, magenta and red can be read on white."""

THEMES = (DARK, LIGHT)


def themes(colours: str) -> tuple[Theme, ...]:
    """The themes for a terminal of so many colours, as in ``core.tty.COLOUR_SYSTEMS``."""
    return (DARK, SIXTEEN) if colours == "16" else THEMES


def plot_colours(variables: Mapping[str, str]) -> dict[str, str]:
    """Our own variables for a theme that does not have them: Textual's themes can be chosen too."""
    stand_in = {"plot-line": "accent", "plot-raw": "primary-darken-2", "plot-grid": "border-blurred"}
    return {name: variables.get(name, variables[stand_in[name]]) for name in PLOT}


def rich_style(variables: Mapping[str, str], name: str) -> Style:
    """A theme's colour for what Rich draws: cells of a table. It knows neither ``auto`` nor transparency."""
    value = variables[name]
    colour = Color.parse(variables["foreground-muted"] if value.startswith("auto") else value)
    if colour.a < 1 and colour.ansi is None:
        colour = Color.parse(variables["background"]).blend(colour, colour.a, alpha=1)
    return Style(color=colour.rich_color)
