"""What embedding models learn: of all candidates of a batch, a query's own positive is the nearest.

B pairs of this process, R texts of a pair, M candidates of all processes, N texts, T tokens, E hidden width.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..data.batch import Batch
from ..train.world import World
from .pairs import FILLING


@dataclass(frozen=True)
class PairLoss:
    """InfoNCE (van den Oord et al. 2018) over the batch of all processes; `texts` is how many a pair has.

    Every other candidate, other queries' positives and hard negatives alike, is wrong. With `at_once`, so many pairs'
    activations are kept, and computed again in the backward pass (Gao et al. 2021): the loss stays what it is.
    """

    world: World
    texts: int
    temperature: float
    at_once: int = 0

    def __call__(self, model: Any, batch: Batch) -> Tensor:
        """Summed over the queries of this process."""
        scores_BM, right_B = self.scores(model, batch)
        return F.cross_entropy(scores_BM, right_B, reduction="sum")

    def judged(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Summed loss, and how many queries are nearest to their own positive."""
        scores_BM, right_B = self.scores(model, batch)
        return F.cross_entropy(scores_BM, right_B, reduction="sum"), (scores_BM.argmax(-1) == right_B).sum()

    def scores(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Similarities of queries and candidates over the temperature, and which candidate is right: [B, M], [B]."""
        assert batch.segments_BT is not None
        lengths_BR = (batch.segments_BT != FILLING).view(len(batch.ids_BT), self.texts, -1).sum(-1)
        ids_BRT = batch.ids_BT.view(*lengths_BR.shape, -1)
        step = self.at_once or len(ids_BRT)
        chunks = [self.vectors(model, *part) for part in zip(ids_BRT.split(step), lengths_BR.split(step), strict=True)]
        vector_NE, is_query_N = torch.cat(chunks), first_of_each(lengths_BR)
        positive_N = is_query_N.roll(1)
        others_NE = vector_NE[~is_query_N & ~positive_N]
        candidates_ME, first = gathered(torch.cat([vector_NE[positive_N], others_NE]), self.world)
        right_B = torch.arange(first, first + len(ids_BRT), device=vector_NE.device)
        return vector_NE[is_query_N] @ candidates_ME.T / self.temperature, right_B

    def vectors(self, model: Any, ids_BRT: Tensor, lengths_BR: Tensor) -> Tensor:
        """Unit vectors of the texts of some pairs, one after another, empty ones left out, [N, E]."""
        there_N = lengths_BR.flatten() > 0
        lengths_N = lengths_BR.flatten()[there_N]
        ids_NT = ids_BRT.flatten(0, 1)[there_N][:, : int(lengths_N.max())]
        if self.at_once and torch.is_grad_enabled():
            kept: Tensor = checkpoint(model, ids_NT, lengths_N, use_reentrant=False)
            return kept.float()
        made: Tensor = model(ids_NT, lengths_N)
        return made.float()


def first_of_each(lengths_BR: Tensor) -> Tensor:
    """Of the texts that are there, in order: whether each is the first of its pair, [N]."""
    is_first_BR = torch.zeros_like(lengths_BR, dtype=torch.bool)
    is_first_BR[:, 0] = True
    return is_first_BR[lengths_BR > 0]


def gathered(own_NE: Tensor, world: World) -> tuple[Tensor, int]:
    """The rows of all processes, one process after another, and the number of this one's first. All call it alike."""
    if world.size == 1:
        return own_NE, 0
    counts = torch.zeros(world.size, dtype=torch.int64)
    counts[world.rank] = len(own_NE)
    world.sum_([counts])
    sizes: list[int] = counts.tolist()
    together: Tensor = Gather.apply(own_NE, sizes, world.rank)  # type: ignore[no-untyped-call]
    return together, sum(sizes[: world.rank])


class Gather(torch.autograd.Function):
    """Rows of all processes; what all losses ask of a process's rows is summed on the way back."""

    @staticmethod
    def forward(ctx: Any, own_NE: Tensor, sizes: list[int], rank: int) -> Tensor:
        """[N, E] -> [M, E]."""
        ctx.sizes, ctx.rank = sizes, rank
        filled_SE = F.pad(own_NE, (0, 0, 0, max(sizes) - len(own_NE))).contiguous()
        parts = [torch.empty_like(filled_SE) for _ in sizes]
        dist.all_gather(parts, filled_SE)
        return torch.cat([part_SE[:size] for part_SE, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """[M, E] -> [N, E]."""
        slope_ME = gradients[0].contiguous().clone()
        dist.all_reduce(slope_ME)
        return slope_ME.split(ctx.sizes)[ctx.rank], None, None
