"""What one parameter is: its type, bounds, default and words. Reads and checks single values."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dbtui.core.errors import UsageError, printable

Value = bool | int | float | str | list[str]

AUTO = "auto"
"""The value of a parameter that is decided by the model or the machine when a run starts."""


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the table of parameters; forms, flags, TOML and docs are made from it."""

    section: str
    name: str
    kind: type
    default: Value
    label: str
    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    auto: bool = False
    advanced: bool = False
    least_open: bool = False
    """True if ``low`` itself is not allowed."""

    @property
    def key(self) -> str:
        """The name used from outside: ``training.steps``."""
        return f"{self.section}.{self.name}"

    @property
    def range(self) -> str:
        """The allowed values in words: ``1 to 64, or auto``."""
        if self.choices:
            words = ", ".join(self.choices)
        elif self.kind is bool:
            words = "true, false"
        elif self.kind is list:
            words = "a list of texts"
        elif self.kind is str:
            words = "text"
        elif self.high is not None:
            words = f"{'above ' if self.least_open else ''}{_number(self.low or 0)} to {_number(self.high)}"
        else:
            words = f"{'above' if self.least_open else 'at least'} {_number(self.low or 0)}"
        return f"{words}, or {AUTO}" if self.auto else words

    def parse(self, text: str) -> Value:
        """The value that a person typed, checked. Raises UsageError."""
        text = text.strip() if self.kind is not str else text
        if self.auto and text == AUTO:
            return AUTO
        try:
            if self.kind is bool:
                return {"true": True, "yes": True, "on": True, "1": True,
                        "false": False, "no": False, "off": False, "0": False}[text.lower()]  # fmt: skip
            if self.kind is int:
                return self.check(int(text.replace("_", "")))
            if self.kind is float:
                return self.check(float(text))
            if self.kind is list:
                return self.check([part.strip() for part in text.split("|") if part.strip()])
        except (KeyError, ValueError):
            raise self.refuse(text) from None
        return self.check(text)

    def check(self, value: Any) -> Value:
        """``value`` as this parameter's type, within its bounds. Raises UsageError."""
        if self.auto and value == AUTO:
            return AUTO
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if self.kind is list and isinstance(value, (list, tuple)):
            if not all(isinstance(part, str) and is_text(part) for part in value):
                raise self.refuse(value)
            return list(value)
        if type(value) is not self.kind:
            raise self.refuse(value)
        if isinstance(value, str):
            if self.choices and value not in self.choices:
                raise self.refuse(value, nearest(value, self.choices))
            if not is_text(value):
                raise UsageError(
                    f"{self.key} cannot be used",
                    f"{printable(value)} is not in UTF-8, as a config has to be.",
                    "Write it in UTF-8; a file can be given another name.",
                )
            if len(value) > 10_000:
                raise self.refuse(value[:40] + "...")
            return value
        assert isinstance(value, (bool, int, float)), "the kinds that are left"
        if self.kind in (int, float):
            too_low = self.low is not None and (value <= self.low if self.least_open else value < self.low)
            if not math.isfinite(value) or too_low or (self.high is not None and value > self.high):
                raise self.refuse(value)
        return value

    def refuse(self, value: object, near: str = "") -> UsageError:
        """The error that names the field, what was given and what is allowed."""
        hint = f"Did you mean {near!r}?" if near else self.help
        return UsageError(f"{self.key} cannot be {printable(value)!r}", f"Allowed: {self.range}.", hint)

    def format(self, value: Value) -> str:
        """``value`` as ``parse`` reads it."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, list):
            return " | ".join(value)
        if isinstance(value, float) and float(f"{value:g}") == value:
            return f"{value:g}"
        return str(value)


def is_text(value: str) -> bool:
    """False for a path with bytes that are not UTF-8, which TOML cannot hold."""
    return not any("\ud800" <= c <= "\udfff" for c in value)


def setting(
    default: Value,
    label: str,
    help: str,
    *,
    kind: type | None = None,
    **rest: Any,
) -> Any:
    """A dataclass field that is a row of the table; ``kind`` where the default is ``auto``."""
    spec = {"kind": kind or type(default), "label": label, "help": help, **rest}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"setting": {**spec, "default": default}})
    return field(default=default, metadata={"setting": {**spec, "default": default}})


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that ``word`` most likely meant, or ``""``; a field may come without its section."""
    known = list(known)
    if "." in word or not any("." in k for k in known):
        match = difflib.get_close_matches(word, known, 1, 0.6)
        if match:
            return match[0]
    # Where sections share a field's name, how the training goes is what is asked for most.
    preferred = sorted(known, key=lambda k: not k.startswith("training."))
    by_last = {k.rsplit(".", 1)[-1]: k for k in reversed(preferred)}
    match = difflib.get_close_matches(word.rsplit(".", 1)[-1], by_last, 1, 0.6)
    return by_last[match[0]] if match else ""
