"""What the processes that train a run together tell each other; with one process there is nobody to tell.

The gradients go from device to device: accelerate averages them, or ``add_up`` does where a step is a CUDA graph.
The rest is a few numbers and words at a time: it goes over the CPU, so that the GPUs are not waited for, and as JSON,
so that nothing is ever unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from dbtui.core.errors import DbtuiError
from dbtui.core.rank import HOST, Rank

PATIENCE = timedelta(days=30)
"""The leading process may be downloading, drawing or saving. One that dies is noticed at once all the same."""


class Ranks:
    """This process, number ``index`` of ``count``, among the others."""

    def __init__(self, index: int = 0, count: int = 1) -> None:
        self.index = index
        self.count = count

    @classmethod
    def join(cls, rank: Rank | None) -> Ranks:
        """Meet the others, if there are any. Raises DbtuiError if they do not come."""
        if rank is None:
            return ALONE
        if torch.cuda.is_available() and torch.cuda.device_count() < rank.count:
            raise DbtuiError(
                f"There are not {rank.count} GPUs",
                f"Each of the {rank.count} processes needs one, and torch sees {torch.cuda.device_count()}.",
                "`dbtui resume RUN --processes auto` does with what there is.",
            )
        try:
            cls._meet(rank)
        except (RuntimeError, OSError) as error:
            raise DbtuiError(
                "The processes did not find each other",
                f"Process {rank.index + 1} of {rank.count}: {error}".splitlines()[0],
                "Try again; `dbtui resume RUN --processes 1` does without the others.",
            ) from error
        return cls(rank.index, rank.count)

    @staticmethod
    def _meet(rank: Rank) -> None:
        gpu = torch.cuda.is_available()
        if gpu:
            torch.cuda.set_device(rank.index)  # before anything asks how much memory it has
        store = dist.TCPStore(
            HOST,
            rank.port,
            rank.count,
            is_master=rank.index == 0,
            timeout=PATIENCE,
            master_listen_fd=rank.listener if rank.index == 0 else None,
        )
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        dist.init_process_group(backend, store=store, rank=rank.index, world_size=rank.count, timeout=PATIENCE)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes: the journal, samples, checkpoints, the concept."""
        return self.index == 0

    def wait(self) -> None:
        """Go on once all are here."""
        self.any(False)

    def any(self, wish: bool) -> bool:
        """Whether one of the processes says yes."""
        if self.count == 1:
            return wish
        answer = torch.tensor([int(wish)])
        dist.all_reduce(answer, dist.ReduceOp.MAX)
        return bool(answer.item())

    def mean(self, values: list[float]) -> list[float]:
        """The mean of each value over the processes; not finite in all if it is so in one."""
        if self.count == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return (total / self.count).tolist()

    def add_up(self, tensors: list[Tensor]) -> dist.Work:
        """Begin to replace each of ``tensors``, of one type and device, by its sum over the processes.

        The work's ``wait`` is for the device's sake: a GPU goes on with it, and it can be captured in a CUDA graph.
        """
        options = dist.AllreduceCoalescedOptions()
        options.asyncOp = True
        return dist.group.WORLD.allreduce_coalesced(tensors, options)

    def gather(self, value: Any) -> list[Any]:
        """What each process says, by its number: anything that JSON can hold."""
        if self.count == 1:
            return [value]
        text = json.dumps(value).encode()
        longest = torch.tensor([len(text)])
        dist.all_reduce(longest, dist.ReduceOp.MAX)
        said = torch.frombuffer(bytearray(text.ljust(int(longest))), dtype=torch.uint8)
        heard = [torch.empty_like(said) for _ in range(self.count)]
        dist.all_gather(heard, said)
        return [json.loads(bytes(one.tolist())) for one in heard]

    def as_leader(self, value: Any) -> Any:
        """What the leading process says, whatever the others do."""
        return self.gather(value)[0]

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The block is run by the leading process, then by the others: they find its results in the cache."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()


ALONE = Ranks()
"""The one process of a run that has only one."""
