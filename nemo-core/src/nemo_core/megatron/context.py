"""A batch shared out along its sequences, as megatron.core's context parallelism wants it.

A row is cut into twice as many blocks as there are ranks; rank r has blocks r and last - r, so that under causal
attention all ranks have as much to do (Llama 3, 2024, section 3.3.2). B rows, T places, R ranks.
"""

import dataclasses

import torch
from torch import Tensor

from ..data.batch import Batch
from ..foundation.errors import ConfigError


def blocks_of(rank: int, size: int) -> tuple[int, int]:
    """The two blocks of a row that a rank has."""
    return rank, 2 * size - 1 - rank


def share(batch: Batch, *, rank: int, size: int) -> Batch:
    """The places of every row that `rank` of `size` computes, with the positions they have in the whole row.

    Raises ConfigError where rows cannot be cut evenly, or hold several documents.
    """
    if size == 1:
        return batch
    rows, length = batch.ids_BT.shape
    if batch.segments_BT is not None:
        raise ConfigError(
            f"parallel.context={size} with several documents in a row: a document would have to be cut into "
            f"{2 * size} blocks by itself; set separate_documents=false, or use parallel.context=1"
        )
    if length % (2 * size):
        raise ConfigError(f"parallel.context={size} cuts rows into {2 * size} blocks, but they have {length} tokens")
    positions_BT = batch.positions_BT
    if positions_BT is None:
        positions_BT = torch.arange(length, device=batch.ids_BT.device).expand(rows, length)

    def own(tensor_BT: Tensor) -> Tensor:
        blocks = tensor_BT.chunk(2 * size, 1)
        return torch.cat([blocks[number] for number in blocks_of(rank, size)], 1)

    return dataclasses.replace(
        batch, ids_BT=own(batch.ids_BT), targets_BT=own(batch.targets_BT), positions_BT=own(positions_BT)
    )


def put_together(parts: list[Tensor]) -> Tensor:
    """Whole rows [B,T,...] of the shares [B,T/R,...] of all ranks."""
    size = len(parts)
    blocks: dict[int, Tensor] = {}
    for rank, part in enumerate(parts):
        blocks |= dict(zip(blocks_of(rank, size), part.chunk(2, 1), strict=True))
    return torch.cat([blocks[number] for number in range(2 * size)], 1)
