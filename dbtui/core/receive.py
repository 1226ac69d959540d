"""One file from the hub, through cuts and refusals that pass, and the checks it must pass to be kept."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dbtui.core import hub
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.hub import Facts, Listing
from dbtui.core.hub_account import page
from dbtui.core.hub_cache import Snapshot
from dbtui.core.hub_errors import Interruption
from dbtui.core.units import format_bytes, format_duration
from dbtui.core.weights import read_header

CHUNK = 1 << 20
"""Bytes read at a time, at most."""

LONGEST_WAIT = 90.0
"""Seconds that a hub may ask to wait; beyond it the person is told instead."""

SLOWEST, GRACE = 1000.0, 60.0
"""Bytes a second that a connection has to bring after the first seconds: a byte now and then is no download."""

SHORT_DELAYS = (1.0, 2.0)
"""Seconds between attempts while a person waits for an answer."""

LONG_DELAYS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""The same for gigabytes, which are worth some patience. Bytes that arrive start them anew."""

MOST_FRUITLESS = 2
"""Attempts in a row that a server may answer without a byte more: a network comes back, a file that is short does not."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Listener:
    """Whom a download tells: ``progress(phase, done, total)`` in bytes, often, which may raise to end it; sentences."""

    progress: Callable[[str, int, int], None] = lambda phase, done, total: None
    say: Callable[[str], None] = lambda sentence: None

    def pause(self, seconds: float, phase: str, done: int = 0, total: int = 0) -> None:
        """Wait, with an ear for the wish to end."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.progress(phase, done, total)
            time.sleep(min(left, 0.1))


class Patience:
    """Waits between attempts, longer each time, and gives up after the last of ``delays``."""

    def __init__(self, delays: tuple[float, ...], listener: Listener) -> None:
        self._delays, self._listener = delays, listener
        self._used = self._furthest = 0

    def reached(self, done: int) -> None:
        """Start the delays anew if this is further than any attempt came."""
        if done > self._furthest:
            self._furthest, self._used = done, 0

    def wait(self, cut: Interruption, phase: str, done: int = 0, total: int = 0) -> None:
        """Say what happened and wait, or raise its DbtuiError if it has happened too often."""
        if self._used >= len(self._delays) or cut.wait > LONGEST_WAIT:
            asked = f" It asks to wait {format_duration(cut.wait)}." if cut.wait else ""
            raise DbtuiError(cut.error.title, cut.error.message + asked, cut.error.hint) from None
        seconds = max(self._delays[self._used], cut.wait)
        self._used += 1
        self._listener.say(f"{cut.error.title}: {cut.error.message} Trying again in {seconds:g} s.")
        self._listener.pause(seconds, phase, done, total)


def patiently(attempt: Callable[[], Result], phase: str, listener: Listener) -> Result:
    """What ``attempt`` returns, tried again while a person may wait for it. Raises DbtuiError."""
    patience = Patience(SHORT_DELAYS, listener)
    while True:
        try:
            return attempt()
        except Interruption as cut:
            patience.wait(cut, phase)


class _WrongError(Exception):
    """The file is not the one that the hub promised."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Brings files of one version of a model into the cache."""

    snapshot: Snapshot
    listing: Listing
    listener: Listener
    delays: tuple[float, ...] = SHORT_DELAYS

    def receive(self, file: str, facts: Facts, what: str, most: int | None = None) -> None:
        """Bring ``file``, of which ``facts`` are known, into the snapshot; ``what`` is its name to a person.

        ``most``: bytes that nobody has to be asked about; a file that has more is a wrong one. Raises DbtuiError. What arrived before a cut is kept for the next attempt, a wrong file is not.
        """
        partial = self.snapshot.partial(file, facts.digest)
        waiting = f"waiting for another download of {what}"
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            with self.snapshot.locked(partial, lambda: self.listener.pause(0.1, waiting)):
                if self.snapshot.has(file):
                    return
                if blob := self.snapshot.blob(facts.digest, facts.size):
                    self.snapshot.add(file, blob)
                    return
                facts = self._gather(file, partial, facts, f"downloading {what}", most)
                digest = self._check(file, partial, facts, f"checking {what}")
                self.snapshot.keep(file, partial, digest)
        except _WrongError as wrong:
            partial.unlink(missing_ok=True)
            name = self.snapshot.name
            raise DbtuiError(
                "A file from the hub is wrong",
                f"{printable(file)} of {name}: {wrong}. It was removed; what else had arrived was kept.",
                f"Try again. If it stays so, the files at {page(name)} are damaged.",
            ) from None
        except OSError as error:
            raise _disk_error(error, partial) from error

    def _gather(self, file: str, partial: Path, facts: Facts, phase: str, most: int | None) -> Facts:
        """Append to ``partial`` until it is whole; returns all that the hub said of the file."""
        patience, fruitless = Patience(self.delays, self.listener), 0
        while True:
            here = _length(partial)
            if here and here == facts.size:
                return facts
            try:
                with hub.open_file(self.snapshot.name, file, self.listing.revisions, here) as answer:
                    facts = _agree(facts, answer)
                    _refuse_more(facts.size or 0, most)
                    self._append(partial, answer, facts.size or 0, phase, patience, most)
                done = _length(partial)
                if facts.size is None or done == facts.size:
                    return facts
                fruitless = 0 if done > here else fruitless + 1
                cut = _cut(done, facts.size)
                if fruitless > MOST_FRUITLESS:
                    raise cut
                raise Interruption(cut)
            except Interruption as interruption:
                patience.wait(interruption, phase, _length(partial), facts.size or 0)

    def _append(
        self, partial: Path, answer: hub.Answer, total: int, phase: str, patience: Patience, most: int | None
    ) -> None:
        """Write what arrives to where it belongs in the file."""
        done, here = answer.start, _length(partial)
        if done > here:
            raise _WrongError(f"the hub sent the bytes from {done:,} on, and those from {here:,} on were asked for")
        if done < here:
            os.truncate(partial, done)
        began = time.monotonic()
        with open(partial, "ab") as handle:
            self.listener.progress(phase, done, total)
            while chunk := answer.read(CHUNK):
                handle.write(chunk)
                done += len(chunk)
                _refuse_more(done, most)
                if time.monotonic() > began + GRACE + (done - answer.start) / SLOWEST:
                    raise _too_slow(done)
                if total and done > total:
                    raise _WrongError(f"it has more than the {total:,} bytes it should have")
                patience.reached(done)
                self.listener.progress(phase, done, total)

    def _check(self, file: str, partial: Path, facts: Facts, phase: str) -> str:
        """The hash under which the whole file is kept. Raises _WrongError if it is not what it should be."""
        # The hub tags a large file with its sha256 and a small one with git's hash of it; some mirrors use plain sha1.
        wanted = {64: ["sha256"], 40: ["git", "sha1"]}.get(len(facts.digest), [])
        digests = _digests(
            partial, wanted or ["sha256"], lambda done, total: self.listener.progress(phase, done, total)
        )
        if wanted and facts.digest not in digests.values():
            raise _WrongError(f"its hash is {digests[wanted[0]]} and should be {facts.digest}")
        try:
            if file.endswith(".safetensors"):
                read_header(partial)
            elif file.endswith(".json"):
                json.loads(partial.read_bytes())
        except DbtuiError as error:
            raise _WrongError("it is no whole safetensors file") from error
        except (ValueError, RecursionError) as error:
            raise _WrongError("it is not JSON") from error
        return facts.digest or digests["sha256"]


def _refuse_more(size: int, most: int | None) -> None:
    if most is not None and size > most:
        raise _WrongError(f"it has more than {format_bytes(most)}, and a file of its kind has little")


def _cut(done: int, size: int) -> DbtuiError:
    return DbtuiError(
        "The download was cut",
        f"The connection ended at {done:,} of {size:,} bytes.",
        "What arrived is kept; try again and it goes on from there.",
    )


def _too_slow(done: int) -> DbtuiError:
    return DbtuiError(
        "The download is too slow",
        f"The hub sends less than {SLOWEST:,.0f} bytes a second; {done:,} of the file are here.",
        "What arrived is kept; try again later and it goes on from there.",
    )


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _agree(known: Facts, answer: hub.Answer) -> Facts:
    """All that is known of a file. Raises _WrongError if the answer is of another length."""
    size = answer.facts.size if known.size is None else known.size
    if size is not None and answer.total is not None and answer.total != size:
        raise _WrongError(f"it has {answer.total:,} bytes and should have {size:,}")
    return Facts(answer.total if size is None else size, known.digest or answer.facts.digest)


def _digests(path: Path, kinds: list[str], progress: Callable[[int, int], None]) -> dict[str, str]:
    """Hashes of a file; ``git`` is the one of a blob: sha1 of a header and the bytes."""
    size = _length(path)
    hashes = {kind: hashlib.new("sha1" if kind == "git" else kind) for kind in kinds}
    if "git" in hashes:
        hashes["git"].update(f"blob {size}\0".encode())
    done = 0
    with open(path, "rb") as handle:
        while chunk := handle.read(8 * CHUNK):
            for one in hashes.values():
                one.update(chunk)
            done += len(chunk)
            progress(done, size)
    return {kind: one.hexdigest() for kind, one in hashes.items()}


def _disk_error(error: OSError, partial: Path) -> DbtuiError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DbtuiError(
            "The disk is full",
            f"{printable(partial.parent)} took no more. What arrived is kept.",
            "Make room, or set HF_HOME to another disk, and try again.",
        )
    return DbtuiError(
        "The hub cache cannot be written",
        f"{printable(error)}. What was in it is unchanged.",
        "Set HF_HOME to a folder that you may write to.",
    )
