"""How many GPUs can be seen, and how many processes that makes. The driver is a stand-in; there is none where tests run."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest

from dbtui.core.config import TrainingConfig
from dbtui.core.errors import UsageError
from dbtui.core.fields import AUTO
from dbtui.jobs.gpus import gpus, why_no_gpu
from dbtui.jobs.processes import cores, resolve, share


class NVMLError(Exception):
    """What the driver's library raises."""


class NotFound(NVMLError):
    """There is no such library."""


class Driver(ModuleType):
    """A machine with four GPUs, of which the last measures no power."""

    NVMLError, NVMLError_LibraryNotFound, NVML_TEMPERATURE_GPU = NVMLError, NotFound, 0
    identifiers = ("GPU-aa11", "GPU-ab22", "GPU-cc33", "GPU-dd44")
    missing = False

    def nvmlInit(self) -> None:
        if self.missing:
            raise NotFound

    def nvmlShutdown(self) -> None: ...

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.1"

    def nvmlDeviceGetCount(self) -> int:
        return len(self.identifiers)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return self.identifiers[handle]

    def nvmlDeviceGetName(self, handle: int) -> str:
        return f"GPU {handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(total=100, used=handle, free=100 - handle)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=7)

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:
        return (9, 0)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        return 40

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        if handle == 3:
            raise NVMLError
        return 90_500


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver("pynvml")
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return driver


@pytest.mark.usefixtures("driver")
def test_a_gpu_is_read_with_what_its_board_does_not_measure_left_out() -> None:
    first, *_, last = gpus()
    assert (first.index, first.name, first.uuid, first.driver) == (0, "GPU 0", "GPU-aa11", "580.1")
    assert (last.total, last.used, last.free, last.utilisation, last.temperature) == (100, 3, 97, 7, 40)
    assert (first.power, last.power) == (90.5, None)
    assert why_no_gpu() == ""


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        ("0,1,2,3", [0, 1, 2, 3]), (" 2 , 0", [2, 0]), ("3", [3]), ("", []), ("-1", []), ("1,9,0", [1]), ("0,0", []),
        ("GPU-cc33,GPU-aa11", [2, 0]), ("GPU-a", []), ("GPU-ab", [1]), ("GPU-zz", []),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("driver")
def test_hidden_gpus_are_not_counted(visible: str, seen: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = gpus()
    assert [gpu.name for gpu in found] == [f"GPU {index}" for index in seen]
    assert [gpu.index for gpu in found] == list(range(len(seen)))
    assert bool(why_no_gpu()) == (not seen)
    assert resolve(AUTO) == max(1, len(seen))


def test_without_a_driver_there_is_a_sentence(driver: Driver) -> None:
    driver.missing = True
    assert gpus() == []
    assert why_no_gpu() == "There is no NVIDIA driver on this machine."


@pytest.mark.usefixtures("driver")
def test_each_process_needs_a_gpu_of_its_own() -> None:
    assert [resolve(asked) for asked in (1, 3, 4, AUTO)] == [1, 3, 4, 4]
    with pytest.raises(UsageError, match="4 GPUs can be seen"):
        resolve(5)


def test_without_a_gpu_each_process_needs_a_core(driver: Driver) -> None:
    driver.missing = True
    assert resolve(AUTO) == 1
    assert resolve(cores()) == cores()
    with pytest.raises(UsageError, match="needs a core"):
        resolve(cores() + 1)


@pytest.mark.usefixtures("driver")
def test_a_run_is_taken_up_by_as_many_as_can_share_its_steps() -> None:
    begun = replace(TrainingConfig(), processes=2, accumulation=3)
    assert [share(begun, asked) for asked in (1, 2, 3, AUTO)] == [1, 2, 3, 3]
    with pytest.raises(UsageError, match="cannot share") as caught:
        share(begun, 4)
    assert "1, 2, 3, 6" in caught.value.hint
