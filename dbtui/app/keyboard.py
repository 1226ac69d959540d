"""Keys act one after another, in the order in which they were typed, however fast they come."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from textual import events, on
from textual.app import App
from textual.message import Message

from dbtui.app.late_answers import LateAnswers

ROUNDS = 3
"""Times that the way of a key is followed: it may send a message, which may open a screen, which may take the focus."""

LOST = 0.5
"""Seconds after which a message that has not come back was on a widget that is gone."""


class OrderlyApp(App[None]):
    """An app that waits for what a key has caused, and for a screen that opens, before the next key is looked at.

    Textual hands a key to the widget that has the focus at that moment, and does what the key is bound to when it has
    bubbled back from there. On a slow link keys come in bursts: without waiting, a letter behind Ctrl-U is put in
    before the line is cleared, and a letter behind ``/`` acts where the focus was before.
    """

    class _Passed(Message):
        """Bubbles from the focus up to the app, and so tells that all that was there before it has been dealt with."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self) -> None:
        super().__init__()
        self._typed: deque[events.Key | events.Paste] = deque()
        """What was typed while a key was at work."""
        self._rounds = 0
        """That are still to be waited for; 0 when no key is at work."""
        self._answers: LateAnswers | None = None
        self._number = 0
        self._lost: asyncio.TimerHandle | None = None

    def push_screen(self, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]
        """Keys wait until the screen has said what has the focus, whoever opens it."""
        opened = super().push_screen(*arguments, **options)
        if self.is_running:
            idle, self._rounds = not self._rounds, ROUNDS
            if idle:
                self._follow()
        return opened

    def expect_answers(self) -> None:
        """The terminal has not answered yet what it was asked: what comes of that is no key."""
        self._answers = LateAnswers(self.set_timer, lambda key: self.call_later(self._take, key))

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            keys = self._answers.pass_on(event) if self._answers and isinstance(event, events.Key) else [event]
            for key in keys:
                await self._take(key)
        else:
            await super().on_event(event)

    async def _take(self, event: events.Key | events.Paste) -> None:
        if self._rounds:
            self._typed.append(event)
        else:
            await self._let_through(event)

    async def _let_through(self, event: events.Key | events.Paste) -> None:
        self._rounds = ROUNDS
        await super().on_event(event)
        self._follow()

    def _follow(self) -> None:
        """Send a message the way that a key would go now."""
        if not self.is_running:
            return
        if self._lost is not None:
            self._lost.cancel()
        self._number += 1
        (self.focused or self.screen).post_message(self._Passed(self._number))
        self._lost = asyncio.get_running_loop().call_later(LOST, self._follow)

    @on(_Passed)
    def _end_of_the_way(self, message: _Passed) -> None:
        # What asks for the focus gets it from the app's queue: so this round ends behind it.
        self.call_later(self._end_round, message.number)

    async def _end_round(self, number: int) -> None:
        if number != self._number or self._lost is None:
            return
        self._lost.cancel()
        self._lost = None
        self._rounds -= 1
        if self._rounds:
            self._follow()
        elif self._typed:
            await self._let_through(self._typed.popleft())
