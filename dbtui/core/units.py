"""Numbers as people read them."""

from __future__ import annotations

import re


def format_bytes(count: float) -> str:
    """``1536`` as ``1.5 KB`` (powers of 1024)."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(count) < 1024 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def parse_bytes(text: str) -> int:
    """``1.5 GB``, ``500M`` or ``1000`` in bytes (powers of 1024). Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())
    if not match:
        raise ValueError(f"{text!r} is no size")
    return round(float(match[1]) * 1024 ** " KMGT".index(match[2] or " "))


def parse_age(text: str) -> float:
    """``30d``, ``2w``, ``12h`` or ``90m`` in seconds. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhdw])", text.strip().lower())
    if not match:
        raise ValueError(f"{text!r} is no age")
    return float(match[1]) * {"m": 60, "h": 3600, "d": 86400, "w": 604800}[match[2]]


def format_duration(seconds: float) -> str:
    """``75`` as ``1:15``, ``3675`` as ``1:01:15``."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def spell_duration(seconds: float) -> str:
    """``75`` as ``1 min 15 s``, ``3675`` as ``1 h 1 min``: what takes longer is said less exactly."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((i for i, (count, _) in enumerate(parts) if count), 2)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])


def format_rate(seconds_per_step: float) -> str:
    """``0.25`` as ``4.0 it/s``, ``3`` as ``3.0 s/it``."""
    if seconds_per_step <= 0:
        return "-"
    return f"{1 / seconds_per_step:.1f} it/s" if seconds_per_step < 1 else f"{seconds_per_step:.1f} s/it"


def plural(count: int, noun: str) -> str:
    """``1 picture``, ``3 pictures``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
