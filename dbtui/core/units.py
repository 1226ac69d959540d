"""Numbers as people read them."""

from __future__ import annotations


def format_bytes(count: float) -> str:
    """``1536`` as ``1.5 KB`` (powers of 1024)."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(count) < 1024 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def format_duration(seconds: float) -> str:
    """``75`` as ``1:15``, ``3675`` as ``1:01:15``."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def format_rate(seconds_per_step: float) -> str:
    """``0.25`` as ``4.0 it/s``, ``3`` as ``3.0 s/it``."""
    if seconds_per_step <= 0:
        return "-"
    return f"{1 / seconds_per_step:.1f} it/s" if seconds_per_step < 1 else f"{seconds_per_step:.1f} s/it"


def plural(count: int, noun: str) -> str:
    """``1 picture``, ``3 pictures``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
