"""What a report on photos says, in a line or two and in full."""

from __future__ import annotations

from textual.content import Content

from dbtui.app.photos import EXTENSIONS
from dbtui.core.dataset import Picture, Report, Skipped
from dbtui.core.errors import printable, printable_line
from dbtui.core.units import plural

SHORT = 2
"""Remarks that are shown without being asked for."""


def verdict(report: Report) -> tuple[Content, str]:
    """The report in a line and its first remarks, a line each; and the class of its mood."""
    remarks = _remarks(report)
    more = f" \u00b7 w: {len(remarks) - SHORT} more" if len(remarks) > SHORT else ""
    head = Content.assemble((_count(report), "bold"), (more, "$primary"), f" \u00b7 {_sizes(report.pictures)}")
    return Content("\n").join([head, *map(Content, remarks[:SHORT])]), "-warning" if remarks else "-good"


def all_words(report: Report) -> Content:
    """Every photo, and every remark."""
    pictures = [f"  {_name(p)}  {p.width} x {p.height}" for p in report.pictures]
    beside = [f"{_name(s)} is not used: {s.reason}." for s in report.skipped if s not in _unusable(report)]
    lines = [_count(report), *pictures, "", *(_remarks(report) or ["There is nothing to remark."]), *beside]
    return Content("\n".join(lines))


def names_in(report: Report) -> set[str]:
    """The names of the files that there is a remark on."""
    names = {picture.path.name for picture in report.pictures}
    doubted = {name for name in names for warning in report.warnings if warning.startswith(f"{printable(name)} ")}
    return doubted | {skipped.path.name for skipped in report.skipped}


def _count(report: Report) -> str:
    count, out = plural(len(report.pictures), "photo"), len(report.excluded)
    if out:
        return f"{count} to learn from, {out} left out"
    return f"{count}{' to learn from' if _unusable(report) else ', all usable'}"


def _unusable(report: Report) -> list[Skipped]:
    """The files that are named as pictures are, and are none that can be used."""
    return [skipped for skipped in report.skipped if skipped.path.suffix.lower() in EXTENSIONS]


def _remarks(report: Report) -> list[str]:
    texts = [*(f"{_name(skipped)} is not used: {skipped.reason}" for skipped in _unusable(report)), *report.warnings]
    return [f"{text[0].upper() if text.startswith('only ') else text[0]}{text[1:]}." for text in texts]


def _sizes(pictures: tuple[Picture, ...]) -> str:
    """``256 x 256``, or from the smallest to the largest."""
    ordered = sorted({(p.width * p.height, p.width, p.height) for p in pictures})
    first, last = ordered[0], ordered[-1]
    least = f"{first[1]} x {first[2]}"
    return f"{least} px" if len(ordered) == 1 else f"{least} to {last[1]} x {last[2]} px"


def _name(picture: Picture | Skipped) -> str:
    return printable_line(picture.path.name)
