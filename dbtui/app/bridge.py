"""From files to messages: functions that run in Textual's worker threads and end in ``post_message``.

They never touch a widget, and they wait on the worker's own event, so that leaving a screen ends them at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from textual.message_pump import MessagePump
from textual.worker import get_current_worker

from dbtui.app.entries import Catalog
from dbtui.app.messages import GpusRead, LibraryRead, RunChanged
from dbtui.app.snapshot import take
from dbtui.core.errors import DbtuiError
from dbtui.core.history import Curves, History
from dbtui.jobs.follow import Follower

if TYPE_CHECKING:
    from dbtui.jobs.gpus import Gpu

DRAWING = 0.5
"""Seconds between two snapshots of a run."""

LIBRARY = 2.0
"""Seconds between two looks at the library."""

GPUS = 2.0
"""Seconds between two readings of the GPUs."""

CHUNK = 1 << 19
"""Bytes of a journal that are read at a time: about 50 ms."""

PART = 1.0
"""Seconds of reading after which a part of a long journal is shown, and of counting after which sizes are."""


def follow_run(screen: MessagePump, follower: Follower) -> None:
    """Post a RunChanged when the run has changed, and every second while it is live, for its clock.

    A long journal is posted in parts, as far as it has been read.
    """
    worker, history, curves = get_current_worker(), History(), Curves()
    state, count, posted = follower.state(), -1, 0.0
    while not worker.is_cancelled:
        whole = _catch_up(follower, history)
        before, state = state, follower.state()
        now = time.monotonic()
        changed = history.count != count or state != before
        if (changed or (state.name == "live" and now - posted >= 1)) and not behind(screen):
            curves = history.curves.copy() if history.count != count else curves
            count, posted = history.count, now
            read = 1.0 if whole else follower.read
            screen.post_message(RunChanged(take(history, state, follower.now(), read, curves, follower.is_full())))
        worker.cancelled_event.wait(DRAWING if whole else 0)


def _catch_up(follower: Follower, history: History) -> bool:
    """Read what there is, for at most PART seconds; whether that was all."""
    began = time.monotonic()
    while events := follower.tick(CHUNK):
        history.extend(events)
        if time.monotonic() - began > PART:
            return False
    return True


def watch_library(screen: MessagePump, catalog: Catalog) -> None:
    """Post a LibraryRead when concepts or runs have changed; sizes come after, since counting them takes long."""
    shown: LibraryRead | None = None
    for _ in _until_left(LIBRARY):
        for message in _looks(catalog):
            if (shown is None or _differs(message, shown)) and not behind(screen):
                shown = message
                screen.post_message(message)


def _looks(catalog: Catalog) -> Iterator[LibraryRead]:
    """The library as far as it is known by now, and by and by more of it."""
    worker, entries = get_current_worker(), []
    try:
        for entries in catalog.read():
            if worker.is_cancelled:
                return
            yield LibraryRead([*entries], whole=catalog.whole)
        told = time.monotonic()
        for place, entry in enumerate(entries):
            entries[place] = catalog.measured(entry)
            if worker.is_cancelled:
                return
            if time.monotonic() - told > PART:
                told = time.monotonic()
                yield LibraryRead([*entries])
        yield LibraryRead(entries)
    except DbtuiError as error:
        yield LibraryRead([], error)


def _differs(one: LibraryRead, other: LibraryRead) -> bool:
    return one.entries != other.entries or str(one.problem) != str(other.problem)


def watch_gpus(screen: MessagePump) -> None:
    """Post the GPUs' readings when they have changed. Ends where there is no GPU."""
    from dbtui.jobs.gpus import gpus, why_no_gpu

    posted: list[Gpu] | None = None
    for _ in _until_left(GPUS):
        found = gpus()
        if found != posted and not behind(screen):
            posted = found
            screen.post_message(GpusRead(found, "" if found else why_no_gpu()))
        if not found:
            return


def _until_left(interval: float) -> Iterator[None]:
    """Once now and then every ``interval`` seconds, until the worker is cancelled."""
    worker = get_current_worker()
    while not worker.is_cancelled:
        yield
        worker.cancelled_event.wait(interval)


def behind(screen: MessagePump) -> bool:
    """Whether the terminal has not yet taken what was drawn before: a slow link must not queue up frames."""
    writer = getattr(getattr(screen.app, "_driver", None), "_writer_thread", None)
    pending: Callable[[], int] | None = getattr(getattr(writer, "_queue", None), "qsize", None)
    return pending is not None and pending() > 1
