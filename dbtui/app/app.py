"""The app: which screen is shown, its theme, and how it is left. What screens do is theirs."""

from __future__ import annotations

import gc
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from textual import events, on
from textual.app import SystemCommand
from textual.binding import BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from dbtui.app.draft import Draft
from dbtui.app.keyboard import OrderlyApp
from dbtui.app.keys import KEYS, bindings, table_of
from dbtui.app.messages import OpenCompare, OpenNew, OpenParameters, OpenPrompt, OpenRun
from dbtui.app.pictures import Canvas
from dbtui.app.screens.base import SMALLEST, BaseScreen
from dbtui.app.settings import Settings, read_settings, write_settings
from dbtui.app.studio import Studio
from dbtui.app.theme import plot_colours, themes
from dbtui.app.wire import SparingApp
from dbtui.core.errors import obstacle
from dbtui.core.fields import AUTO
from dbtui.core.paths import config_dir
from dbtui.core.tty import IMAGE_WORDS, Capabilities

LOOK = 2.0
"""Seconds between two looks whether the terminal is still there."""

AGAIN = 3.0
"""Seconds in which a second Ctrl-C leaves the app."""


class DbtuiApp(SparingApp[None], OrderlyApp):
    """Opens on the library."""

    TITLE = "dbtui"
    CSS_PATH: ClassVar[list[str]] = [
        "styles/app.tcss",
        "styles/dialogs.tcss",
        "styles/library.tcss",
        "styles/dashboard.tcss",
        "styles/photos.tcss",
        "styles/parameters.tcss",
        "styles/drawing.tcss",
    ]  # type: ignore[assignment]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]
    HORIZONTAL_BREAKPOINTS: ClassVar[list[tuple[int, str]] | None] = [  # type: ignore[misc]
        (0, "-too-narrow"),
        (SMALLEST[0], "-narrow"),
        (110, "-wide"),
    ]
    VERTICAL_BREAKPOINTS: ClassVar[list[tuple[int, str]] | None] = [  # type: ignore[misc]
        (0, "-too-short"),
        (SMALLEST[1], "-short"),
        (32, "-tall"),
    ]

    def __init__(
        self,
        settings: Settings | None = None,
        problem: str = "",
        terminal: Capabilities | None = None,
        first: Message | None = None,
    ) -> None:
        """``problem``: what was wrong with the kept settings, to be told. ``terminal``: how pictures are shown.

        ``first`` is posted at the start: what to open above the library.
        """
        super().__init__(terminal or Capabilities())
        self.settings = settings or Settings()
        self._problem = problem
        self._first = first
        self.draft = Draft()
        """The concept that is to be taught next."""
        self.studio = Studio()
        """Whose model stays warm while the app is open."""
        self.drawing_settings: dict[str, str] = {}
        """What the forms for drawing were left with."""
        self._asked_to_leave = 0.0
        self.animation_level = "none"
        for theme in themes(self.terminal.colours):
            self.register_theme(theme)

    def get_css_variables(self) -> dict[str, str]:
        variables = super().get_css_variables()
        variables.update(plot_colours(variables))
        self.theme_variables = variables
        return variables

    def on_mount(self) -> None:
        from dbtui.app.screens.library import LibraryScreen

        if self.settings.theme in self.available_themes:
            self.theme = self.settings.theme
        else:
            self._problem = self._problem or f"There is no theme {self.settings.theme!r}."
            self.theme = Settings().theme
        self.push_screen(LibraryScreen())
        if self._first is not None:
            self.post_message(self._first)
        if self._problem:
            self.notify(f"{self._problem}. Defaults are used.", title="Settings", severity="warning", markup=False)
        self.theme_changed_signal.subscribe(self, lambda theme: self.keep(theme=theme.name))

        if not self.terminal.answered:
            self.expect_answers()
        if not self.is_headless:
            self.set_interval(LOOK, self._leave_with_the_terminal)

    def _leave_with_the_terminal(self) -> None:
        """End as SIGHUP would have ended it: not every lost connection sends one, and reading from what is gone would
        take a core for good. There is nothing left to write a farewell to."""
        terminal = select.poll()
        terminal.register(0, 0)
        if any(event & select.POLLHUP for _, event in terminal.poll(0)):
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGHUP)

    def on_unmount(self) -> None:
        self.draft.close()
        self.studio.close()

    # Settings

    def keep(self, **changes: str) -> None:
        """Have these settings from now on, and write them down; not what was asked for on the command line."""
        if replace(self.settings, **changes) == self.settings:
            return
        self.settings = replace(self.settings, **changes)
        try:
            write_settings(replace(read_settings()[0], **changes))
        except OSError as error:
            words = f"It holds until dbtui is left, but could not be kept. {obstacle(error, config_dir())[0]}"
            self.notify(words, title="Settings", severity="warning", markup=False)

    def show_images(self, images: str) -> None:
        """Show pictures as ``images``, one of ``IMAGES``, says, from now on.

        Kitty's pictures are named by colours, so that they have to wait for a start with all colours.
        """
        self.keep(images=images)
        if images == "kitty" and self.terminal.colours != "truecolor":
            return
        self.terminal = self.terminal.showing(images)
        for screen in self.screen_stack:
            for canvas in screen.query(Canvas):
                canvas.draw_again()

    def action_switch_images(self) -> None:
        """The next way that every terminal has; after the last comes what was found at the start."""
        ways = [AUTO, *(way for way in ("blocks", "half", "off") if way != self.terminal.found)]
        place = ways.index(self.settings.images) if self.settings.images in ways else -1
        self.show_images(ways[(place + 1) % len(ways)])
        self.notify(IMAGE_WORDS[self.terminal.pictures], title="Pictures", timeout=2, markup=False)

    def action_settings(self) -> None:
        from dbtui.app.screens.settings import SettingsDialog

        self.push_screen(SettingsDialog())

    # Screens

    @on(OpenRun)
    def _open_run(self, message: OpenRun) -> None:
        from dbtui.app.screens.dashboard import DashboardScreen

        if isinstance(self.screen, DashboardScreen) and self.screen.training == message.run:
            return
        self._leave_the_way()
        self.push_screen(DashboardScreen(message.run, message.replay), self._say)

    def _say(self, words: str | None) -> None:
        if words:
            self.notify(words, markup=False)

    @on(OpenPrompt)
    def _open_prompt(self, message: OpenPrompt) -> None:
        from dbtui.app.screens.prompt import PromptScreen

        self.push_screen(PromptScreen(message.concept))

    @on(OpenCompare)
    def _open_compare(self, message: OpenCompare) -> None:
        from dbtui.app.screens.compare import CompareScreen

        self.push_screen(CompareScreen(message.subject))

    @on(OpenNew)
    def _open_new(self) -> None:
        from dbtui.app.screens.pictures import PicturesScreen

        self.push_screen(PicturesScreen(self.draft))

    @on(OpenParameters)
    def _open_parameters(self) -> None:
        from dbtui.app.screens.parameters import ParametersScreen

        self.push_screen(ParametersScreen(self.draft))

    def _leave_the_way(self) -> None:
        """The draft has become a run: back to the library, and the next one begins where this did."""
        if not isinstance(self.screen, BaseScreen) or self.screen.KEYS != "parameters":
            return
        while isinstance(self.screen, BaseScreen) and self.screen.KEYS in ("pictures", "parameters"):
            self.pop_screen()
        self.draft.close()
        self.draft = self.draft.next()

    # Everywhere

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """No cursor blinks, not even that of Textual's own palette: each time it would be sent."""
        if isinstance(event.widget, Input):
            event.widget.cursor_blink = False

    def action_show_help(self) -> None:
        from dbtui.app.screens.help import HelpDialog

        if isinstance(self.screen, BaseScreen):
            nodes = self.focused.ancestors_with_self if self.focused else []
            tables = [table_of(node.BINDINGS) for node in nodes if not isinstance(node, Screen | DbtuiApp)]
            self.push_screen(HelpDialog([self.screen.KEYS, *filter(None, tables)]))

    def action_help_quit(self) -> None:
        self.action_leave()

    def action_leave(self) -> None:
        """Ctrl-C: once it says what would happen, twice it leaves."""
        now = time.monotonic()
        if now - self._asked_to_leave < AGAIN:
            self.exit()
            return
        self._asked_to_leave = now
        self.notify("Press Ctrl-C again to leave dbtui. Trainings go on.", timeout=AGAIN)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: the actions of this screen's table and of the app's, and the themes."""
        yield SystemCommand("Theme", "Choose the colours; they are kept.", self.action_change_theme)
        if not isinstance(screen, BaseScreen):
            return
        own = [(key, key.action) for key in KEYS[screen.KEYS]]
        everywhere = [(key, f"app.{key.action}") for key in KEYS["app"] if key.action != "command_palette"]
        for key, action in own + everywhere:
            if screen.check_action(action.split("(")[0].removeprefix("app."), ()):
                yield SystemCommand(f"{key.label}  ({key.face})", key.help, lambda action=action: self._run(action))

    def _run(self, action: str) -> None:
        self.call_later(self.screen.run_action, action)


def open_app(settings: Settings, terminal: Capabilities, problem: str = "", first: Message | None = None) -> None:
    """Run the app until it is left; ``first`` says what to open above the library."""
    # A long journal makes many short-lived objects: looking for cycles among them would take a third of its reading.
    gc.set_threshold(100_000, 50, 50)
    DbtuiApp(settings, problem, terminal, first).run()
