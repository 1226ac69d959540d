"""A sampler process that stays warm between prompts: JSON lines in, JSON lines out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dbtui.core.errors import DbtuiError, printable
from dbtui.core.sources import Source
from dbtui.jobs.wire import EngineProcess, failure


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Pictures to make, a seed for each, from a concept, from a checkpoint (its folder), or from a base model."""

    prompt: str
    seeds: list[int]
    columns: int
    out: str
    concept: str = ""
    checkpoint: str = ""
    base: str = ""
    negative: str = ""
    steps: int = 25
    guidance: float = 7.5
    scheduler: str = "dpm++2m-karras"
    resolution: int = 0
    safety: bool = False
    graph: bool = True
    """Whether to draw by a CUDA graph where there can be one and the training was not told otherwise."""
    preview: int = 0
    """Denoising steps between two looks at the forming pictures; 0 for none."""

    def by(self, source: Source) -> Request:
        """The same from ``source``, at its resolution."""
        base = "" if source.concept or source.checkpoint else source.base
        return replace(
            self, concept=source.concept, checkpoint=source.checkpoint, base=base, resolution=source.resolution
        )


class Sampler:
    """The process. Started by the first request; ended by ``close`` or with this process."""

    def __init__(self, log: Path | None = None) -> None:
        self._log = log
        self._process: EngineProcess | None = None
        self._number = 0

    @property
    def pid(self) -> int | None:
        """The process number while there is one."""
        return self._process.pid if self._process is not None and self._process.runs else None

    def __enter__(self) -> Sampler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: Request) -> Iterator[dict[str, Any]]:
        """The sampler's messages on ``request``, up to and with ``done`` or ``cancelled``.

        Raises DbtuiError for what it reports as failed, or if it dies.
        """
        if self._process is None or not self._process.runs:
            self._process = EngineProcess("sample", self._log)
        process = self._process
        self._number += 1
        process.send({"id": self._number, **asdict(request)})
        for message in process.messages():
            if message.get("id") != self._number:
                continue
            if message["kind"] == "failed":
                raise failure(message)
            yield message
            if message["kind"] in ("done", "cancelled"):
                return
        code = process.wait()
        self._process = None
        raise DbtuiError(
            "The sampler died",
            f"It ended with code {code}. Pictures that were finished are in {printable(request.out)}.",
            "Try again; if it was out of memory, ask for fewer pictures.",
        )

    def cancel(self) -> None:
        """End the request in hand at its next denoising step; safe from another thread or a signal handler."""
        process = self._process
        if process is not None:
            process.send({"cancel": self._number})

    def close(self, patience: float = 10) -> None:
        """End the process, for certain after ``patience`` seconds; what it is drawing is given up."""
        process, self._process = self._process, None
        if process is not None:
            process.end(patience)
