"""What the files of a folder should hold, in a list that ``sha256sum --check`` reads too."""

from __future__ import annotations

import re
from pathlib import Path

from dbtui.core.weights import sha256

NAME = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  ([^/\0]+)")


class Checksums:
    """The list of a folder. A file's last line counts; one that was cut off while it was written does not."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def read(self) -> dict[str, str]:
        """The sha256 of each file by its name; nothing where there is no list."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return {}
        found = (LINE.fullmatch(line) for line in text.splitlines())
        return {match[2]: match[1] for match in found if match}

    def add(self, file: Path) -> None:
        """Append what ``file`` holds. One write: several processes may do so at a time. Raises OSError."""
        with open(self.path, "ab", buffering=0) as handle:
            handle.write(f"{sha256(file)}  {file.name}\n".encode())


def holds(file: Path, digest: str | None) -> bool:
    """Whether ``file`` is there and has this sha256."""
    try:
        return digest is not None and sha256(file) == digest
    except OSError:
        return False
