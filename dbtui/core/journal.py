"""The journal of a run: an append-only file of events, written by one and read by any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dbtui.core.events import Event, decode, encode


class JournalWriter:
    """Appends events, each in one write, so that a killed writer leaves at most a partial last line."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "ab", buffering=0)
        if path.stat().st_size and not _ends_with_newline(path):
            self._file.write(b"\n")

    def write(self, event: Event) -> None:
        # File names may hold bytes that are not text; JSON has an escape for what stands for them.
        self._file.write(encode(event).encode(errors="backslashreplace") + b"\n")

    def close(self) -> None:
        """Make the journal durable."""
        os.fsync(self._file.fileno())
        self._file.close()


class JournalReader:
    """Reads what has been appended since the last read; a partial last line waits for its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped = 0
        """Lines that were not events: a writer was killed in the middle of one."""
        self._offset = 0
        self._inode = 0

    def read(self) -> list[Event]:
        """The new events; none while there is no file. Starts over if the file was replaced."""
        try:
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset = status.st_ino, 0
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        return list(self._decode(data[:whole]))

    def _decode(self, data: bytes) -> Iterator[Event]:
        for line in data.splitlines():
            if not line.strip():
                continue
            try:
                event = decode(line)
            except ValueError:
                self.skipped += 1
                continue
            if event is not None:
                yield event


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
