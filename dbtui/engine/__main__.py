"""The engine as a process: ``python -m dbtui.engine train RUN_FOLDER``, ``... sample`` or ``... doctor``.

Listens to signals before anything slow is imported: torch takes seconds, in which a lost
terminal would otherwise kill the trainer.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from dbtui.core.errors import DbtuiError
from dbtui.core.events import Ended, Started, encode
from dbtui.core.hub_cache import is_offline
from dbtui.core.journal import JournalWriter
from dbtui.core.rank import LETTING_GO, Rank
from dbtui.core.run import Run
from dbtui.engine.narrator import Narrator
from dbtui.engine.stopping import Deaf, StopFlag, Stopped

ALLOCATOR = "expandable_segments:True"
"""How torch takes a GPU's memory if the person does not say: so that none is lost between blocks that do not fit."""


def main(arguments: list[str]) -> int:
    may_download = not is_offline()
    # The libraries never ask the hub: what they load is on this machine before they are imported.
    os.environ["HF_HUB_OFFLINE"] = "1"
    if "PYTORCH_ALLOC_CONF" not in os.environ:
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", ALLOCATOR)
    if arguments[:1] == ["train"] and len(arguments) == 2:
        run, rank = Run(Path(arguments[1])), Rank.of_environment()
        return train_process(run, may_download) if rank is None else train_rank(run, rank, may_download)
    if arguments == ["sample"]:
        with unused_hidden():
            from dbtui.engine.serve import serve

            return serve()
    if arguments == ["export"]:
        with unused_hidden():
            from dbtui.engine.export_process import export_process

            return export_process()
    if arguments == ["bench"]:
        with unused_hidden():
            from dbtui.engine.bench_process import bench_process

            return bench_process()
    if arguments == ["doctor"]:
        from dbtui.engine.doctor import report

        report(sys.stdout.write)
        return 0
    print("usage: python -m dbtui.engine train RUN_FOLDER | sample | export | bench | doctor", file=sys.stderr)
    return 2


def train_process(run: Run, may_download: bool) -> int:
    """Train the run in this process, and leave an ``ended`` event whatever happens.

    ``may_download``: whether the hub may be asked for a base model that is not here.
    """
    stop = StopFlag(run).listen()
    lock = run.claim(LETTING_GO)
    journal = JournalWriter(run.journal)
    try:
        ended = _train(run, Narrator(journal), stop, may_download)
        journal.write(ended)
        return 0 if ended.reason != "failed" else 1
    finally:
        journal.close()
        run.release(lock)


def train_rank(run: Run, rank: Rank, may_download: bool) -> NoReturn:
    """Train the run as one of several processes.

    Their supervisor has claimed the run and says how it ended, by the reports that it gets: the leading
    process's, or that of the first in which something went wrong.
    """
    journal = JournalWriter(run.journal) if rank.leads else None
    stop = StopFlag(run).listen() if rank.leads else Deaf(run)
    ended = _train(run, Narrator(journal), stop, may_download, rank)
    if journal is not None:
        journal.close()
    if rank.leads or ended.reason == "failed":
        with open(rank.report, "wb") as pipe:
            pipe.write(encode(ended).encode(errors="backslashreplace"))
    # At once: what torch has to tidy up can wait for ever for processes that are gone.
    os._exit(0 if ended.reason != "failed" else 1)


def _train(run: Run, narrator: Narrator, stop: StopFlag, may_download: bool, rank: Rank | None = None) -> Ended:
    from dbtui.core.checkpoints import newest_sound

    resume, damaged = newest_sound(run.checkpoints) if rank is None or rank.leads else (None, [])
    narrator.step = at = resume.step if resume else 0
    pid, processes = (os.getppid(), rank.count) if rank else (os.getpid(), 1)
    narrator.say(Started(pid=pid, steps=run.config.training.steps, resumed_from=at, processes=processes))
    for sentence in damaged:
        narrator.log(sentence, "warning")
    try:
        from dbtui.engine.fetch import await_base, fetch_base

        if rank is None or rank.leads:
            fetch_base(run, narrator, stop, may_download)
        else:
            await_base(run)
        narrator.phase("loading the libraries")
        with unused_hidden():
            from dbtui.engine.loop import train

        return train(run, narrator, stop, resume)
    except Stopped as wish:
        return Ended(reason="stopped", step=at, message=f"Stopped ({wish}) before the first step.")
    except DbtuiError as error:
        return Ended(reason="failed", step=narrator.step, message=str(error), hint=error.hint)
    except Exception as error:  # the last place where anything can still be said to the person
        from dbtui.engine.failures import explain

        message, hint = explain(error)
        where = f"Process {rank.index + 1} of {rank.count}: " if rank else ""
        return Ended(reason="failed", step=narrator.step, message=where + message, hint=hint)


UNUSED = ("bitsandbytes", "peft", "scipy", "sklearn", "torchvision", "tensorflow", "flax")
"""What diffusers and transformers import where it is installed, for what is not done here."""


@contextlib.contextmanager
def unused_hidden() -> Iterator[None]:
    """Spare the libraries imports that take seconds; whoever wants an 8-bit optimizer imports it then."""
    hidden = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules[name] is None:
                del sys.modules[name]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
