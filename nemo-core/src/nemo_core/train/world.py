"""The processes that share a run: one, or as many as torchrun started.

Every process makes the same global batch, computes its own rows, and gradients are summed; because losses are divided
by the targets of the global batch, the result is that of one process.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from ..data.batch import Batch

PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class World:
    """This process's number and how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch:
        """The rows of a global batch that this process computes; possibly none."""
        total = len(batch.ids_BT)
        return batch.rows(slice(self.rank * total // self.size, (self.rank + 1) * total // self.size))

    def sum_(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its sum over processes."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        if self.size == 1:
            return flag
        raised = torch.tensor(int(flag))
        dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return bool(raised)

    def from_first(self, value: str) -> str:
        """The first process's value, in every process."""
        values: list[str] = [value]
        if self.size > 1:
            dist.broadcast_object_list(values)
        return values[0]

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.size > 1:
            dist.barrier()


ALONE = World()


@contextlib.contextmanager
def joined_world() -> Iterator[World]:
    """The world torchrun describes in the environment, or a world of one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield World(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()
