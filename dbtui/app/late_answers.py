"""What a terminal that is far away answers after nobody waits for it any more: Textual takes it for typed keys."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.timer import Timer

GAP = 0.1
"""Seconds between two characters of an answer, which come together, and after which its beginning is a key after all."""

ESCAPE, NEXT = "circumflex_accent", ("P", "_")
"""How an answer of the kinds that Textual does not know begins, in its keys: DCS or APC."""


class LateAnswers:
    """Tells answers from keys. Nobody types a circumflex and a capital P within a tenth of a second."""

    def __init__(self, later: Callable[[float, Callable[[], None]], Timer], give_back: Callable[[events.Key], object]):
        """``later`` calls something after so many seconds; ``give_back`` gets a key that was held in vain."""
        self._later, self._give_back = later, give_back
        self._held: events.Key | None = None
        self._last = float("-inf")
        """When a character of an answer came last."""

    def pass_on(self, key: events.Key) -> list[events.Key]:
        """The keys that a person has typed by now."""
        if key.time - self._last < GAP:
            self._last = key.time
            return []
        held, self._held = self._held, None
        if held is not None and key.character in NEXT and key.time - held.time < GAP:
            self._last = key.time
            return []
        before = [] if held is None else [held]
        if key.key != ESCAPE:
            return [*before, key]
        self._held = key
        self._later(GAP, lambda: self._release(key))
        return before

    def _release(self, key: events.Key) -> None:
        if self._held is key:
            self._held = None
            self._give_back(key)
