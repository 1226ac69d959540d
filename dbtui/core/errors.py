"""The one kind of error that a person sees, and the text that is safe to show."""

from __future__ import annotations

import errno
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


FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a disk, or of a person's share of it, that takes no more."""


def obstacle(error: OSError, folder: object = "") -> tuple[str, str]:
    """Why ``folder`` could not be written to, and what to do about it, in a sentence each."""
    where = printable(folder)
    if error.errno in FULL:
        return f"The disk {f'of {where} ' if where else ''}is full.", "Make room on it, or use another one."
    if error.errno == errno.EROFS:
        return f"{where or 'The disk'} can only be read.", "Use another place."
    said = printable(error.strerror or error)
    return f"{where}: {said}." if where else f"{said}.", "Use another place."


def printable_line(text: object) -> str:
    """``text`` as ``printable`` in one line: the name of a file, in a sentence."""
    return printable(text).replace("\n", r"\n").replace("\t", r"\t")


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
