"""The journal: appended by one, read by any, unharmed by killed writers and later versions."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dbtui.core.events import Checkpoint, Ended, Event, Log, Phase, Sample, Started, Step, decode, encode
from dbtui.core.journal import JournalReader, JournalWriter, last_events
from dbtui.core.series import Progress


def step(number: int, loss: float = 0.5) -> Step:
    return Step(step=number, loss=loss, instance_loss=loss, learning_rate=1e-5, grad_norm=1.0, seconds=0.1, epoch=1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.mark.parametrize(
    "event",
    [Started(pid=1, steps=2, resumed_from=1), Phase(name="encoding", done=1, total=3, unit="pictures"), step(3),
     Sample(step=1, path="samples/1.png", prompts=["a\n\x1b[31mb", "犬"], seeds=[1, 2]),
     Checkpoint(step=1, path="c", size=5, seconds=0.1), Log(message="hello", level="warning"),
     Ended(reason="failed", step=3, message="m", hint="h", concept="c")],
)  # fmt: skip
def test_every_kind_of_event_comes_back_equal_from_one_line(event: Event) -> None:
    line = encode(event)
    assert "\n" not in line
    assert decode(line) == event


def test_an_event_says_its_kind_version_and_time() -> None:
    values = json.loads(encode(step(1)))
    assert (values["kind"], values["version"]) == ("step", 1)
    assert values["time"] > 1_700_000_000


def test_a_reader_gets_each_event_once(path: Path) -> None:
    writer, reader = JournalWriter(path), JournalReader(path)
    writer.write(step(1))
    assert [e.step for e in reader.read()] == [1]
    assert reader.read() == []
    writer.write(step(2))
    assert [e.step for e in reader.read()] == [2]
    writer.close()


def test_a_missing_journal_has_no_events(path: Path) -> None:
    assert JournalReader(path).read() == []
    assert last_events(path) == []


def test_a_partial_last_line_waits_for_its_end(path: Path) -> None:
    line = encode(Log(message="größer")).encode() + b"\n"
    reader = JournalReader(path)
    for end in range(1, len(line)):
        path.write_bytes(line[:end])
        assert reader.read() == []
    with path.open("ab") as file:
        file.write(line[-1:])
    assert [e.message for e in reader.read()] == ["größer"]
    assert reader.skipped == 0


def test_a_writer_after_a_killed_writer_loses_none_of_its_own_events(path: Path) -> None:
    path.write_bytes(encode(step(1)).encode() + b"\n" + encode(step(2)).encode()[:20])
    reader = JournalReader(path)
    assert [e.step for e in reader.read()] == [1]
    writer = JournalWriter(path)
    writer.write(step(3))
    writer.close()
    assert [e.step for e in reader.read()] == [3]
    assert reader.skipped == 1


def test_a_process_killed_while_writing_leaves_whole_lines(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dbtui.core.journal import JournalWriter; "
        "from dbtui.core.events import Log; w = JournalWriter(Path(sys.argv[1]))\n"
        "for i in range(10**9):\n w.write(Log(message=f'{i} ' + 'x' * 500)); i == 100 and print('ready', flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    writer = JournalWriter(path)
    writer.write(step(1))
    writer.close()
    reader = JournalReader(path)
    events = reader.read()
    numbers = [int(e.message.split()[0]) for e in events[:-1]]
    assert len(numbers) > 100 and numbers == list(range(len(numbers)))
    assert isinstance(events[-1], Step) and reader.skipped <= 1


def test_a_replaced_journal_is_read_from_its_start(path: Path) -> None:
    path.write_text(encode(step(1)) + "\n")
    reader = JournalReader(path)
    reader.read()
    other = path.with_suffix(".new")
    other.write_text(f"{encode(step(7))}\n{encode(step(8))}\n")
    os.replace(other, path)
    assert [e.step for e in reader.read()] == [7, 8]


def test_a_truncated_journal_is_read_from_its_start(path: Path) -> None:
    path.write_text(f"{encode(step(1))}\n{encode(step(2))}\n")
    reader = JournalReader(path)
    reader.read()
    path.write_text(encode(step(9)) + "\n")
    assert [e.step for e in reader.read()] == [9]


def test_kinds_and_fields_of_a_later_version_are_skipped(path: Path) -> None:
    later = {**json.loads(encode(step(1))), "version": 2, "mood": "good"}
    path.write_text(f'{{"kind": "dream", "version": 2}}\n{json.dumps(later)}\n')
    reader = JournalReader(path)
    assert [e.step for e in reader.read()] == [1]
    assert reader.skipped == 0


@pytest.mark.parametrize(
    "line",
    [b"{", b"\xff\xfe\x00", b"[]", b"3", b"null", b'{"kind": []}', b'{"kind": "step"}', b"[" * 10_000,
     b'{"kind": "log", "message": 3}', b'{"kind": "ended", "reason": "done", "step": "x"}',
     b'{"kind": "ended", "reason": "done", "step": true}', b'{"kind": "log", "message": "m", "time": "noon"}'],
)  # fmt: skip
def test_a_bad_line_is_counted_and_hides_no_other(line: bytes, path: Path) -> None:
    path.write_bytes(encode(step(1)).encode() + b"\n\n" + line + b"\n" + encode(step(2)).encode() + b"\n")
    reader = JournalReader(path)
    assert [e.step for e in reader.read()] == [1, 2]
    assert reader.skipped == 1
    assert [e.step for e in last_events(path)] == [1, 2]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_null_in_the_file_and_nan_when_read(value: float) -> None:
    line = encode(step(1, loss=value))
    assert json.loads(line)["loss"] is None
    event = decode(line)
    assert isinstance(event, Step)
    assert math.isnan(event.loss) and event.prior_loss is None


def test_a_loss_that_is_not_finite_does_not_spoil_the_average() -> None:
    progress = Progress()
    for event in (Started(pid=1, steps=9), step(1, 0.25), step(2, math.nan), step(3, 0.25)):
        progress.add(event)
    assert progress.loss == pytest.approx(0.25)
    assert progress.last is not None and progress.last.step == 3


def test_a_file_name_that_is_not_text_can_be_written_and_read(path: Path) -> None:
    writer = JournalWriter(path)
    writer.write(Log(message="skipped \udcff.jpg"))
    writer.close()
    assert [e.message for e in JournalReader(path).read()] == ["skipped \udcff.jpg"]


def test_last_events_reads_the_end_and_drops_the_cut_line(path: Path) -> None:
    path.write_text("".join(encode(step(n)) + "\n" for n in range(2000)))
    found = [e.step for e in last_events(path, size=4096)]
    assert found == list(range(2000 - len(found), 2000))
    assert 5 < len(found) < 100


def test_last_events_leaves_out_a_partial_last_line(path: Path) -> None:
    path.write_text(encode(step(1)) + "\n" + encode(step(2))[:-5])
    assert [e.step for e in last_events(path)] == [1]


def test_what_a_full_disk_does_not_take_comes_once_there_is_room(small_disk: Any) -> None:
    path = small_disk.folder / "journal.jsonl"
    writer = JournalWriter(path)
    writer.write(step(1))
    small_disk.fill()
    for number in range(2, 60):
        writer.write(step(number))
    before = [event.step for event in JournalReader(path).read()]
    assert before == list(range(1, len(before) + 1)) and len(before) < 50
    small_disk.empty()
    writer.write(step(60))
    writer.close()
    assert [event.step for event in JournalReader(path).read()] == list(range(1, 61))
