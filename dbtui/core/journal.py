"""The journal of a run: an append-only file of events, written by one and read by any."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dbtui.core.errors import FULL
from dbtui.core.events import Event, decode, encode, from_values


class JournalWriter:
    """Appends events, each in one write, so that a killed writer leaves at most a partial last line.

    What a full disk does not take waits for the next event: a training does not end for what it has to say.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "ab", buffering=0)
        self._waiting = bytearray(b"\n" if path.stat().st_size and not _ends_with_newline(path) else b"")

    def write(self, event: Event) -> None:
        # File names may hold bytes that are not text; JSON has an escape for what stands for them.
        self._waiting += encode(event).encode(errors="backslashreplace") + b"\n"
        self._append()

    def close(self) -> None:
        """Make the journal durable; what the disk still does not take is lost."""
        self._append()
        os.fsync(self._file.fileno())
        self._file.close()

    def _append(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: self._file.write(self._waiting)]  # it may take a part
        except OSError as error:
            if error.errno not in FULL:
                raise


class JournalReader:
    """Reads what has been appended since the last read; a partial last line waits for its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped = 0
        """Lines that were not events: a writer was killed in the middle of one."""
        self.offset = 0
        """Bytes that have been read."""
        self.size = 0
        """Bytes that the journal had at the last read."""
        self._inode = 0

    def read(self, limit: int = -1) -> list[Event]:
        """The new events of the next ``limit`` bytes (-1: all); none while there is no file.

        Starts over if the file was replaced. A line that is longer than ``limit`` is read whole.
        """
        try:
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self.offset:
                    self._inode, self.offset = status.st_ino, 0
                self.size = status.st_size
                file.seek(self.offset)
                data = file.read(limit)
                if b"\n" not in data:
                    data += file.readline()
        except FileNotFoundError:
            return []
        whole = data.rfind(b"\n") + 1
        self.offset += whole
        return list(self._events(data[:whole]))

    def _events(self, data: bytes) -> Iterator[Event]:
        for value in self._values([line for line in data.splitlines() if line.strip()]):
            try:
                event = from_values(value)
            except ValueError:
                self.skipped += 1
                continue
            if event is not None:
                yield event

    def _values(self, lines: list[bytes]) -> list[Any]:
        """The lines' JSON: as one array, three times as fast as line by line, unless one of them is bad."""
        try:
            values: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")
            if len(values) == len(lines):
                return values
        except (ValueError, RecursionError):
            pass
        values = []
        for line in lines:
            try:
                values.append(json.loads(line))
            except (ValueError, RecursionError):
                self.skipped += 1
        return values


def last_events(path: Path, size: int = 65536) -> list[Event]:
    """The events in the last ``size`` bytes of the journal: enough to tell how it stands."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            data = file.read()
    except FileNotFoundError:
        return []
    lines = data.splitlines()[1 if end > size else 0 :]
    events = []
    for line in lines:
        try:
            event = decode(line)
        except ValueError:
            continue
        if event is not None:
            events.append(event)
    return events


def _ends_with_newline(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
