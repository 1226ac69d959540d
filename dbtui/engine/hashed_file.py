"""A file that is hashed while it is written, and is on the disk once it is closed."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

SYNC_EVERY = 2**28
"""Bytes after which the disk is told to begin with what it has, so that little is left to wait for at the end."""

SMALL = 2**16
"""Bytes that are hashed sooner than a thread is asked to."""


class HashedFile:
    """A new file, written from front to back: each piece goes to the disk and into the hash at the same time."""

    def __init__(self, path: Path) -> None:
        """Raises OSError; the file must not be there yet."""
        self._file = open(path, "xb")
        self._digest = hashlib.sha256()
        self._hasher, self._syncer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._synced: Future[None] | None = None
        self._unsynced = 0
        self.error: OSError | None = None
        """What a write raised: torch does not pass it on."""

    def __enter__(self) -> HashedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._hasher.shutdown()
            self._syncer.shutdown()
            if error is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                if self._synced is not None:
                    self._synced.result()

    def write(self, data: bytes | memoryview) -> int:
        """Take ``data``, which may change once this returns. Raises OSError."""
        piece = memoryview(data).cast("B")
        hashed = None if piece.nbytes < SMALL else self._hasher.submit(self._digest.update, piece)
        try:
            self._file.write(piece)
        except OSError as error:
            self.error = self.error or error
            raise
        finally:
            if hashed is None:
                self._digest.update(piece)
            else:
                hashed.result()
        self._begin_to_sync(piece.nbytes)
        return piece.nbytes

    def flush(self) -> None:
        """Nothing is kept back for long; torch asks for it."""

    @property
    def sha256(self) -> str:
        """Of all that was written so far."""
        return self._digest.hexdigest()

    def _begin_to_sync(self, written: int) -> None:
        self._unsynced += written
        if self._unsynced >= SYNC_EVERY and (self._synced is None or self._synced.done()):
            if self._synced is not None:
                self._synced.result()
            self._unsynced = 0
            self._synced = self._syncer.submit(os.fsync, self._file.fileno())
