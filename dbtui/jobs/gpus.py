"""The GPUs that a trainer started from here would see, read from the driver: without torch, in milliseconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One GPU as it is at this moment.

    ``index`` is its number among those that are visible, as torch counts them. ``total``, ``used`` and
    ``free`` are bytes, 0 where the driver does not tell them apart from the machine's own memory.
    """

    index: int
    name: str
    uuid: str
    driver: str
    total: int
    used: int
    free: int
    utilisation: int | None
    """Per cent of the last moment in which something ran."""
    temperature: int | None
    """Degrees Celsius."""
    power: float | None
    """Watts."""
    capability: tuple[int, int] | None = None
    """CUDA's number for what the chip can do; bf16 from (8, 0) on."""


class NoDriverError(Exception):
    """There is no NVIDIA driver to ask; the message is a sentence for a person."""


def gpus() -> list[Gpu]:
    """The visible GPUs (``CUDA_VISIBLE_DEVICES`` is respected); none where there is no driver."""
    try:
        with _driver() as nvml:
            driver = nvml.nvmlSystemGetDriverVersion()
            return [_read(nvml, handle, index, driver) for index, handle in enumerate(_visible(nvml))]
    except NoDriverError:
        return []


def why_no_gpu() -> str:
    """Why ``gpus`` is empty, as a sentence; ``""`` if it is not."""
    try:
        with _driver() as nvml:
            if nvml.nvmlDeviceGetCount() == 0:
                return "The NVIDIA driver knows of no GPU."
            if not _visible(nvml):
                return f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r} hides every GPU."
            return ""
    except NoDriverError as error:
        return str(error)


@contextmanager
def _driver() -> Iterator[Any]:
    """The driver's library, open. Raises NoDriverError, also for what the driver answers with an error."""
    try:
        import pynvml as nvml  # type: ignore[import-untyped]

        nvml.nvmlInit()
    except ImportError:
        raise NoDriverError("The package nvidia-ml-py, which asks the driver, is not installed.") from None
    except nvml.NVMLError_LibraryNotFound:
        raise NoDriverError("There is no NVIDIA driver on this machine.") from None
    except nvml.NVMLError as error:
        raise NoDriverError(f"The NVIDIA driver does not answer: {error}.") from None
    try:
        yield nvml
    except nvml.NVMLError as error:
        raise NoDriverError(f"The NVIDIA driver answered with an error: {error}.") from None
    finally:
        nvml.nvmlShutdown()


def _visible(nvml: Any) -> list[Any]:
    """Handles of the GPUs that ``CUDA_VISIBLE_DEVICES`` leaves, in its order.

    As CUDA reads it: numbers or identifiers (which may be cut short); what follows the first that
    is unknown does not count, and neither does a list that names one twice.
    """
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is None:
        return handles
    chosen: list[int] = []
    for word in map(str.strip, asked.split(",")):
        if word.startswith("MIG-"):
            # A slice of a GPU is found by its identifier only, and CUDA uses one of them at a time.
            return [nvml.nvmlDeviceGetHandleByUUID(word)]
        index = int(word) if word.isdecimal() else _index_of(nvml, handles, word)
        if index is None or index >= len(handles):
            break
        if index in chosen:
            return []
        chosen.append(index)
    return [handles[index] for index in chosen]


def _index_of(nvml: Any, handles: list[Any], word: str) -> int | None:
    """The number of the only GPU whose identifier begins with ``word``."""
    found = [i for i, handle in enumerate(handles) if word and nvml.nvmlDeviceGetUUID(handle).startswith(word)]
    return found[0] if len(found) == 1 else None


def _read(nvml: Any, handle: Any, index: int, driver: str) -> Gpu:
    def reading(ask: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return ask(handle, *arguments)
        except nvml.NVMLError:  # not every board measures everything
            return None

    memory = reading(nvml.nvmlDeviceGetMemoryInfo)
    utilisation = reading(nvml.nvmlDeviceGetUtilizationRates)
    power = reading(nvml.nvmlDeviceGetPowerUsage)
    return Gpu(
        index=index,
        name=nvml.nvmlDeviceGetName(handle),
        uuid=nvml.nvmlDeviceGetUUID(handle),
        driver=driver,
        total=memory.total if memory else 0,
        used=memory.used if memory else 0,
        free=memory.free if memory else 0,
        utilisation=None if utilisation is None else utilisation.gpu,
        temperature=reading(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
        power=None if power is None else power / 1000,
        capability=reading(nvml.nvmlDeviceGetCudaComputeCapability),
    )
