"""Names of concepts: what may be one, and which are free."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from dbtui.core.errors import UsageError, printable

LONGEST = 60


def slug(text: str) -> str:
    """``text`` as a folder name that can stand in any library: ``My Dog`` is ``my-dog``; may be empty."""
    text = unicodedata.normalize("NFC", text).casefold()
    text = "".join(c if c.isalnum() or c in "-_" else "-" for c in text)
    return re.sub(r"-{2,}", "-", text).strip("-_")[:LONGEST].rstrip("-_")


def check_name(text: str) -> str:
    """The slug of a name that a person gave. Raises UsageError for what cannot be meant as a name."""
    text = unicodedata.normalize("NFC", text)
    name = slug(text)
    odd = [c for c in text if not (c.isalnum() or c in "-_ ")]
    if not name or odd or len(text) > LONGEST:
        raise UsageError(
            f"{printable(text)!r} cannot be a name",
            f"A name has letters, digits, '-' and '_', and at most {LONGEST} of them.",
            f"Try {name!r}." if name else "Try 'rex'.",
        )
    return name


def free_name(wanted: str, taken: Callable[[str], bool]) -> str:
    """``wanted``, or ``wanted-2``, ``wanted-3``, ... where it is taken."""
    name, number = wanted, 1
    while taken(name):
        number += 1
        name = f"{wanted[: LONGEST - 5]}-{number}"
    return name
