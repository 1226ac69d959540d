"""The one kind of error that a person sees, and the text that is safe to show."""

from __future__ import annotations

import unicodedata

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes of the command line."""


class DbtuiError(Exception):
    """Something a person can act on: what happened, what was kept, what to do next.

    ``message`` says what happened in a sentence or two; ``hint`` says what to do.
    """

    exit_code = FAILED

    def __init__(self, title: str, message: str, hint: str = "") -> None:
        super().__init__(title, message, hint)
        self.title = title
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.title}: {self.message}"


class UsageError(DbtuiError):
    """What was asked for cannot be: a misspelt parameter, a path that is not there."""

    exit_code = WRONG_USE


def printable(text: object) -> str:
    """``text`` with every character that could drive a terminal made visible.

    File names, prompts and error messages of other programs come from outside; an escape
    sequence or a right-to-left override in them must reach the screen as text. What joins letters
    and what keeps them apart is part of Persian and Indic words, and of emoji.
    """
    return "".join(
        repr(c)[1:-1]
        if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and c not in "\n\t\u200c\u200d"
        else c
        for c in str(text)
    )
