"""The folder of a run: its state, its lock, its requests, and how it is found."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dbtui.core import paths
from dbtui.core.config import Config
from dbtui.core.errors import DbtuiError, UsageError
from dbtui.core.events import Ended, Event, Started, Step
from dbtui.core.journal import JournalWriter
from dbtui.core.library import Concept
from dbtui.core.run import Run, find_run, runs

TRAINER = """
import sys
from pathlib import Path
from dbtui.core.run import Run
run = Run(Path(sys.argv[1]))
lock = run.claim()
print("claimed", flush=True)
sys.stdin.readline()
"""

MakeRun = Callable[..., Run]


@pytest.fixture
def trainer() -> Iterator[Callable[[Run], subprocess.Popen]]:
    """``trainer(run)`` is another process that holds the run until its input ends."""
    started = []

    def start(run: Run) -> subprocess.Popen:
        command = [sys.executable, "-c", TRAINER, str(run.path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == b"claimed\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def tell(run: Run, *events: Event) -> None:
    writer = JournalWriter(run.journal)
    for event in events:
        writer.write(event)
    writer.close()


def step(number: int) -> Step:
    return Step(step=number, loss=1, instance_loss=1, learning_rate=1e-5, grad_norm=1, seconds=0.1, epoch=1)


def test_a_new_run_keeps_its_config_and_pictures_for_this_user_alone(new_run: MakeRun) -> None:
    run = new_run("rex")
    assert Run(run.path).config == Config().replace({"concept.name": "rex"})
    assert run.sources() == [{"path": "/a.jpg", "sha256": "0" * 64}]
    assert run.state().name == "new"
    assert stat.S_IMODE(run.path.stat().st_mode) == stat.S_IMODE(paths.runs_dir().stat().st_mode) == 0o700


def test_runs_made_in_one_second_have_folders_of_their_own(new_run: MakeRun) -> None:
    made = [new_run("rex") for _ in range(4)]
    assert len({run.path for run in made}) == 4
    assert not list(paths.runs_dir().glob(".*"))


def test_a_run_with_a_live_trainer_is_live(new_run: MakeRun, trainer: Callable) -> None:
    run = new_run()
    process = trainer(run)
    tell(run, Started(pid=process.pid, steps=9), step(4))
    assert (run.state().name, run.state().step, run.state().over) == ("live", 4, False)
    assert run.trainer() is not None and run.trainer()[0] == process.pid


def test_a_run_whose_trainer_was_killed_is_lost(new_run: MakeRun, trainer: Callable) -> None:
    run = new_run()
    process = trainer(run)
    tell(run, Started(pid=process.pid, steps=9), step(4))
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped
    assert run.state().name == "lost"
    process.wait()
    assert (run.state().name, run.state().step, run.state().over) == ("lost", 4, True)


def test_a_lost_run_can_be_claimed_again_and_is_live(new_run: MakeRun, trainer: Callable) -> None:
    run = new_run()
    first = trainer(run)
    tell(run, Started(pid=first.pid, steps=9), step(4))
    first.kill()
    first.wait()
    trainer(run)
    assert run.state().name == "live"


@pytest.mark.parametrize("reason", ["done", "stopped", "failed"])
def test_the_last_event_tells_how_a_run_ended(reason: str, new_run: MakeRun) -> None:
    run = new_run()
    tell(run, Started(pid=1, steps=9), step(8), Ended(reason=reason, step=9, message="m", hint="h", concept="rex"))
    state = run.state()
    assert (state.name, state.step, state.message, state.hint, state.concept) == (reason, 9, "m", "h", "rex")
    assert state.over


def test_a_run_that_ended_is_over_while_its_trainer_still_exits(new_run: MakeRun, trainer: Callable) -> None:
    run = new_run()
    trainer(run)
    tell(run, Started(pid=1, steps=9), Ended(reason="done", step=9, time=time.time() + 1))
    assert run.state().name == "done"


def test_a_stopped_run_that_was_taken_up_again_is_live(new_run: MakeRun, trainer: Callable) -> None:
    run = new_run()
    tell(run, Started(pid=1, steps=9), Ended(reason="stopped", step=3, time=time.time() - 60))
    trainer(run)
    assert (run.state().name, run.state().step) == ("live", 3)


def test_a_run_that_is_taken_up_the_moment_it_has_stopped_is_live(new_run: MakeRun) -> None:
    """By a process that is older than that: the system tells start times to the second only."""
    run = new_run()
    tell(run, Started(pid=1, steps=9), Ended(reason="stopped", step=3))
    lock = run.claim()
    assert (run.state().name, run.state().step) == ("live", 3)
    run.release(lock)


def test_a_claim_waits_for_a_killed_trainer_to_be_gone(new_run: MakeRun, trainer: Callable) -> None:
    run = new_run()
    process = trainer(run)
    killer = threading.Timer(0.2, process.kill)
    killer.start()
    lock = run.claim(patience=60)
    killer.join()
    assert process.wait() == -signal.SIGKILL
    assert run.trainer() is not None and run.trainer()[0] == os.getpid()
    run.release(lock)


def test_a_process_with_the_trainers_old_number_is_not_the_trainer(new_run: MakeRun) -> None:
    run = new_run()
    tell(run, Started(pid=os.getpid(), steps=9), step(2))
    record = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    (run.path / "process.json").write_text(json.dumps(record))
    assert run.state().name == "live"
    (run.path / "process.json").write_text(json.dumps({**record, "started": record["started"] - 3600}))
    assert run.trainer() is None
    assert run.state().name == "lost"


def test_a_clock_that_is_set_loses_no_trainer(new_run: MakeRun) -> None:
    run = new_run()
    lock = run.claim()
    tell(run, Started(pid=os.getpid(), steps=9), step(2))
    record = json.loads((run.path / "process.json").read_text())
    # As it stands in the file once the clock has been put forward by an hour.
    (run.path / "process.json").write_text(json.dumps({**record, "started": record["started"] - 3600}))
    assert run.state().name == "live"
    moved = {"started": record["started"] - 3600, "uptime": record["uptime"] - 3600}
    (run.path / "process.json").write_text(json.dumps({**record, **moved}))
    assert run.state().name == "lost"
    run.release(lock)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"pid": null, "started": 0}', '{"pid": -1, "started": 0}',
     '{"pid": 1e300, "started": 0}', '{"pid": 1}', '{"pid": "x", "started": 0}'],
)  # fmt: skip
def test_a_damaged_process_file_is_no_trainer(text: str, new_run: MakeRun) -> None:
    run = new_run()
    (run.path / "process.json").write_text(text)
    assert run.trainer() is None


def test_a_second_claim_is_refused_until_the_first_is_gone(new_run: MakeRun, trainer: Callable) -> None:
    run = new_run()
    process = trainer(run)
    with pytest.raises(DbtuiError, match="has a trainer"):
        run.claim()
    assert json.loads((run.path / "process.json").read_text())["pid"] == process.pid
    process.communicate()
    run.claim().close()
    assert json.loads((run.path / "process.json").read_text())["pid"] == os.getpid()


def test_a_stop_is_taken_once(new_run: MakeRun) -> None:
    run = new_run()
    assert not run.take_stop()
    run.request("stop")
    run.request("stop")
    assert run.take_requests() == []
    assert [run.take_stop(), run.take_stop()] == [True, False]


def test_requests_are_taken_once_and_in_order(new_run: MakeRun) -> None:
    run = new_run()
    run.request("sample", prompt="one")
    run.request("sample", prompt="two")
    run.request("save")
    taken = run.take_requests()
    assert [r.get("prompt") for r in taken if r["request"] == "sample"] == ["one", "two"]
    assert sum(r["request"] == "save" for r in taken) == 1
    assert run.take_requests() == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"request": "format the disk"}'])
def test_a_damaged_request_is_dropped_and_stops_no_other(content: bytes, new_run: MakeRun) -> None:
    run = new_run()
    (run.path / "control" / "sample-0.json").write_bytes(content)
    run.request("sample", prompt="fine")
    assert [r["prompt"] for r in run.take_requests()] == ["fine"]
    assert not list((run.path / "control").iterdir())


def test_a_request_of_an_unknown_kind_is_refused(new_run: MakeRun) -> None:
    with pytest.raises(ValueError, match="dance"):
        new_run().request("dance")


def test_a_run_is_found_by_id_and_by_name_the_newest_first(new_run: MakeRun) -> None:
    old = new_run("rex")
    old.path.rename(paths.runs_dir() / "20200101-000000-rex")
    new, other = new_run("rex"), new_run("tom")
    assert find_run("20200101-000000-rex").id == "20200101-000000-rex"
    assert find_run("rex").path == new.path
    assert find_run("tom").path == other.path
    assert [run.id for run in runs()][-1] == "20200101-000000-rex"


def test_a_run_is_found_by_its_concepts_new_name(new_run: MakeRun) -> None:
    run = new_run("rex")
    concept = Concept(name="max", run=run.id, trained={"unet": "0" * 64})
    paths.make_private(concept.weights("unet").parent)
    concept.weights("unet").write_bytes(b"weights")
    (concept.path / "concept.toml").write_text(concept.to_toml())
    assert find_run("max").path == run.path


def test_a_run_with_a_damaged_config_hides_no_other(new_run: MakeRun) -> None:
    run = new_run("rex")
    damaged = paths.make_private(paths.runs_dir() / "99990101-000000-rex")
    (damaged / "config.toml").write_text("[[[")
    assert find_run("rex").path == run.path


@pytest.mark.parametrize(
    "word", ["", ".", "..", "../runs", "/etc", "../../etc", "rex/..", "a\x00b", "x" * 5000, "\x1b[2J"]
)
def test_a_word_that_leaves_the_folder_of_runs_finds_nothing(word: str, new_run: MakeRun, home: Path) -> None:
    new_run("rex")
    for outside in (home, paths.runs_dir()):
        (outside / "config.toml").write_text(Config().to_toml())
    with pytest.raises(UsageError) as caught:
        find_run(word)
    assert "\x1b" not in caught.value.title and "\x00" not in caught.value.title
