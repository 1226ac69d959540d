"""How fast a phase goes, and the line that says so."""

from __future__ import annotations

from dbtui.core.events import Phase
from dbtui.core.meter import Meter
from dbtui.terminal import phase_line


def download(meter: Meter, *points: tuple[float, int], name: str = "downloading unet (1/3)") -> str:
    for time, done in points:
        meter.add(Phase(time=time, name=name, done=done, total=4 << 30, unit="bytes"))
    return phase_line(meter)


def test_bytes_have_a_unit_a_speed_and_an_end() -> None:
    line = download(Meter(), (100, 1 << 30), (104, 1 << 30), (108, 2 << 30))
    assert line.startswith("downloading unet (1/3) ") and "2.0 GB of 4.0 GB  128 MB/s  ETA 0:16" in line


def test_the_speed_is_of_the_last_seconds_and_of_this_file() -> None:
    meter = Meter()
    line = download(meter, (0, 0), (50, 0), (100, 1 << 30), (104, 2 << 30))
    assert "256 MB/s" in line, "what happened before the window does not count"
    assert "/s" not in download(meter, (105, 0), name="downloading vae (2/3)")
    assert "/s" not in download(meter, (106, 1 << 30), (107, 5), name="downloading vae (2/3)"), "it began again"


def test_other_units_and_none_are_as_they_were() -> None:
    meter = Meter()
    assert phase_line(meter) == "starting ..."
    meter.add(Phase(name="asking the hub"))
    assert phase_line(meter) == "asking the hub ..."
    meter.add(Phase(name="encoding the photos", done=2, total=5, unit="pictures"))
    assert phase_line(meter).endswith(" 2/5 pictures")
