"""The engine as a process: ``python -m dbtui.engine train RUN_FOLDER`` or ``... sample``.

Listens to signals before anything slow is imported: torch takes seconds, in which a lost
terminal would otherwise kill the trainer.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from dbtui.core.errors import DbtuiError
from dbtui.core.events import Ended, Started
from dbtui.core.journal import JournalWriter
from dbtui.core.run import Run
from dbtui.engine.narrator import Narrator
from dbtui.engine.stopping import StopFlag, Stopped


def main(arguments: list[str]) -> int:
    # The hub is never asked from here: a model is on this machine or the run says what is missing.
    os.environ["HF_HUB_OFFLINE"] = "1"
    if arguments[:1] == ["train"] and len(arguments) == 2:
        return train_process(Run(Path(arguments[1])))
    if arguments == ["sample"]:
        hide_bitsandbytes()
        from dbtui.engine.serve import serve

        return serve()
    print("usage: python -m dbtui.engine train RUN_FOLDER | sample", file=sys.stderr)
    return 2


def train_process(run: Run) -> int:
    """Train the run in this process, and leave an ``ended`` event whatever happens."""
    stop = StopFlag(run).listen()
    lock = run.claim()
    journal = JournalWriter(run.journal)
    try:
        ended = _train(run, Narrator(journal), stop)
        journal.write(ended)
        return 0 if ended.reason != "failed" else 1
    finally:
        journal.close()
        run.release(lock)


def _train(run: Run, narrator: Narrator, stop: StopFlag) -> Ended:
    from dbtui.core.checkpoints import newest_sound

    resume, damaged = newest_sound(run.checkpoints)
    narrator.step = at = resume.step if resume else 0
    narrator.say(Started(pid=os.getpid(), steps=run.config.training.steps, resumed_from=at))
    for sentence in damaged:
        narrator.log(sentence, "warning")
    narrator.phase("loading the libraries")
    try:
        if run.config.training.optimizer == "adamw":
            hide_bitsandbytes()
        from dbtui.engine.loop import train

        return train(run, narrator, stop, resume)
    except Stopped as wish:
        return Ended(reason="stopped", step=at, message=f"Stopped ({wish}) before the first step.")
    except DbtuiError as error:
        return Ended(reason="failed", step=narrator.step, message=str(error), hint=error.hint)
    except Exception as error:  # the last place where anything can still be said to the person
        traceback.print_exc()
        from dbtui.engine.failures import explain

        message, hint = explain(error)
        return Ended(reason="failed", step=narrator.step, message=message, hint=hint)


def hide_bitsandbytes() -> None:
    """Spare the libraries an import that takes seconds, where no 8-bit optimizer is wanted."""
    sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
