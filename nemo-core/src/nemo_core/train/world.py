"""The processes that share a run: one, or as many as torchrun started.

Every process makes the same global batch, computes its own rows, and gradients are summed; because losses are divided
by the targets of the global batch, the result is that of one process.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from ..data.batch import Batch
from .recovery import explain_lost_peers
from .rendezvous import fresh_store

PATIENCE_S = 1800.0


@dataclass(frozen=True)
class World:
    """This process's number and how many there are.

    `data_rank` of `data_size` says which rows of a batch are this process's; processes that share rows (tensor,
    pipeline and context parallel) have the same. `num_alike` neighbours compute the same activations (tensor parallel).
    """

    rank: int = 0
    size: int = 1
    data_rank: int | None = None
    data_size: int | None = None
    num_alike: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    @property
    def num_shares(self) -> int:
        """Into how many parts the rows of a batch are divided."""
        return self.size if self.data_size is None else self.data_size

    @property
    def share_number(self) -> int:
        """Which of those parts is this process's; processes that share rows have the same."""
        return self.rank if self.data_rank is None else self.data_rank

    @property
    def generator(self) -> int:
        """Whose random numbers this process draws: those that share activations draw alike, the others apart."""
        return self.rank // self.num_alike

    def share(self, batch: Batch) -> Batch:
        """The rows of a global batch that this process computes; possibly none."""
        total, count, rank = len(batch.ids_BT), self.num_shares, self.share_number
        return batch.rows(slice(rank * total // count, (rank + 1) * total // count))

    def largest_share(self, rows: int) -> int:
        """Most rows that any process computes of a batch of `rows`."""
        return -(-rows // self.num_shares)

    def any_of(self, flags: Sequence[bool]) -> list[bool]:
        """For each flag whether it is up in any process; one exchange for all of them."""
        if self.size == 1:
            return list(flags)
        raised = torch.tensor([int(flag) for flag in flags])
        dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return [bool(flag) for flag in raised]

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process."""
        return self.any_of([flag])[0]

    def sum_(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def copy_first_(self, tensor: Tensor) -> None:
        """Replace a tensor by the first process's."""
        if self.size > 1:
            dist.broadcast(tensor, 0)

    def from_first(self, value: str) -> str:
        """The first process's value, in every process."""
        if self.size == 1:
            return value
        encoded = torch.tensor(list(value.encode()) if self.is_first else [], dtype=torch.uint8)
        length = torch.tensor(len(encoded))
        dist.broadcast(length, 0)
        content = encoded if self.is_first else torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(content, 0)
        return bytes(content.tolist()).decode()

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.size > 1:
            dist.barrier()


ALONE = World()


@contextlib.contextmanager
def joined_world(timeout_s: float = PATIENCE_S) -> Iterator[World]:
    """The world torchrun describes in the environment, or a world of one.

    Where another process dies, or does not answer for `timeout_s`, the block ends with PeerLost instead of hanging.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))  # generators, NCCL and memory counts go by it
    with explain_lost_peers(timeout_s):
        store, rank, size = fresh_store(timeout_s)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=timeout_s))
        try:
            yield World(dist.get_rank(), size)
        finally:
            dist.destroy_process_group()
