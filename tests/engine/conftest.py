"""Tiny runs on the embedded model: begun, trained in this process, and followed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest

from dbtui.core.checkpoints import newest_sound
from dbtui.core.config import Config
from dbtui.core.events import Ended, Event
from dbtui.core.journal import JournalReader, JournalWriter
from dbtui.core.library import find_sound_concept
from dbtui.core.run import Run
from dbtui.core.subjects import SUBJECTS
from dbtui.core.weights import sha256
from dbtui.engine.narrator import Narrator
from dbtui.engine.stopping import StopFlag
from dbtui.jobs.begin import begin, check

BEAR = SUBJECTS["teddy-bear"]

TINY = {
    "model.base": "mini",
    "data.folder": str(BEAR.folder),
    "data.resolution": 64,
    "concept.prompt": BEAR.prompt,
    "prior.class_prompt": BEAR.class_prompt,
    "prior.steps": 2,
    "prior.class_images": 2,
    "training.steps": 8,
    "training.batch_size": 1,
    "training.learning_rate": 5e-5,
    "training.optimizer": "adamw",
    "training.checkpoint_every": 3,
    "sampling.every": 0,
    "sampling.count": 1,
    "sampling.steps": 2,
}

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "prior": {"prior.enabled": True},
    "everything": {
        "training.accumulation": 2,
        "training.ema": True,
        "training.min_snr_gamma": 5.0,
        "training.text_encoder": True,
    },
}
"""The kinds of training whose resume is compared bit for bit."""


class Attentive(Narrator):
    """A narrator that also tells a test what is said, at the moment it is said."""

    def __init__(self, journal: JournalWriter, hear: Callable[[Event], None]) -> None:
        super().__init__(journal)
        self._hear = hear

    def say(self, event: Event) -> None:
        super().say(event)
        self._hear(event)


def begin_tiny(kind: str = "plain", changes: dict[str, Any] | None = None) -> Run:
    return begin(check(Config().replace({**TINY, **KINDS[kind], **(changes or {})})))


def train_here(run: Run, hear: Callable[[Event], None] = lambda event: None, stop: StopFlag | None = None) -> Ended:
    """Train ``run`` in this process from its newest sound checkpoint, and leave its end in the journal."""
    from dbtui.engine.loop import train

    journal = JournalWriter(run.journal)
    try:
        resume, _ = newest_sound(run.checkpoints)
        ended = train(run, Attentive(journal, hear), StopFlag(run) if stop is None else stop, resume)
        journal.write(ended)
        return ended
    finally:
        journal.close()


def weights_hashes(concept: str) -> dict[str, str]:
    """The hash of each weights file of a concept, taken from the files."""
    entry = find_sound_concept(concept)
    return {part: sha256(entry.weights(part)) for part in entry.trained}


@pytest.fixture
def begin_run() -> Callable[..., Run]:
    return begin_tiny


@pytest.fixture
def train() -> Callable[..., Ended]:
    return train_here


@pytest.fixture
def hashes() -> Callable[[str], dict[str, str]]:
    return weights_hashes


@pytest.fixture
def heard() -> Callable[[Run], list[Event]]:
    return lambda run: JournalReader(run.journal).read()


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, str]]:
    """The weights of a kind of run that nothing interrupted; each kind is trained once."""
    known: dict[str, dict[str, str]] = {}

    def of_kind(kind: str) -> dict[str, str]:
        if kind not in known:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("DBTUI_HOME", str(tmp_path_factory.mktemp("reference")))
                known[kind] = weights_hashes(train_here(begin_tiny(kind)).concept)
        return known[kind]

    return of_kind


@pytest.fixture(scope="session")
def mini() -> Iterator[Any]:
    """The embedded model. Shared: no test may change it."""
    from dbtui.core.base_model import find_model
    from dbtui.engine.models import load_models

    models = load_models(find_model("mini"))
    before = {k: v.clone() for k, v in models.unet.state_dict().items()}
    yield models
    assert all(bool((before[k] == v).all()) for k, v in models.unet.state_dict().items()), "a test changed the model"


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool], str], None]:
    """Wait until something is true; fail with what was waited for if it does not come."""
    pause = threading.Event()

    def wait(happened: Callable[[], bool], what: str, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                pytest.fail(f"waited {seconds} s for {what}")
            pause.wait(0.005)

    return wait
