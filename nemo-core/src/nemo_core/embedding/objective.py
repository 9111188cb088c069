"""What embedding models learn: of all candidates of a batch, a query's own positive is the nearest.

B pairs of this process, Q of all, R texts of a pair, M candidates of all processes, N texts, T tokens, E hidden width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..data.batch import Batch
from ..train.world import World
from .model import unit
from .pairs import FILLING

Parts = tuple[Tensor, Tensor, slice]  # queries, candidates (first each query's positive, in order), which are own


@dataclass(frozen=True)
class PairLoss:
    """InfoNCE (van den Oord et al. 2018) over the batch of all processes; `texts` is how many a pair has.

    With `at_once`, so many pairs' activations are kept, and computed again in the backward pass (Gao et al. 2021): the
    loss stays what it is. `symmetric` and `widths` as in `contrastive_loss`.
    """

    world: World
    texts: int
    temperature: float
    at_once: int = 0
    symmetric: bool = False
    widths: tuple[int, ...] = ()

    def __call__(self, model: Any, batch: Batch) -> Tensor:
        """Summed over the queries of this process."""
        return self.loss(self.parts(model, batch))

    def judged(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Summed loss, and how many queries are nearest to their own positive."""
        parts = self.parts(model, batch)
        queries_QE, candidates_ME, own = parts
        right_B = torch.arange(own.start, own.stop, device=queries_QE.device)
        return self.loss(parts), ((queries_QE[own] @ candidates_ME.T).argmax(-1) == right_B).sum()

    def loss(self, parts: Parts) -> Tensor:
        """Of the vectors of a batch, in full precision: the temperature makes much of small differences."""
        with torch.autocast(parts[0].device.type, enabled=False):
            return contrastive_loss(*parts, temperature=self.temperature, symmetric=self.symmetric, widths=self.widths)

    def parts(self, model: Any, batch: Batch) -> Parts:
        """Queries and candidates of all processes, and which queries are this one's."""
        assert batch.segments_BT is not None
        lengths_BR = (batch.segments_BT != FILLING).view(len(batch.ids_BT), self.texts, -1).sum(-1)
        ids_BRT = batch.ids_BT.view(*lengths_BR.shape, -1)
        step = self.at_once or len(ids_BRT)
        chunks = [self.vectors(model, *part) for part in zip(ids_BRT.split(step), lengths_BR.split(step), strict=True)]
        vector_NE = torch.cat(chunks)
        number_BR = torch.arange(self.texts, device=lengths_BR.device).expand_as(lengths_BR)
        number_N = number_BR[lengths_BR > 0]
        queries_QE, first = gathered(vector_NE[number_N == 0], self.world)
        positives_QE, _ = gathered(vector_NE[number_N == 1], self.world)
        negatives_NE, _ = gathered(vector_NE[number_N > 1], self.world)
        return queries_QE, torch.cat([positives_QE, negatives_NE]), slice(first, first + len(ids_BRT))

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


def contrastive_loss(
    queries_QE: Tensor,
    candidates_ME: Tensor,
    own: slice,
    *,
    temperature: float,
    symmetric: bool = False,
    widths: Sequence[int] = (),
) -> Tensor:
    """InfoNCE summed over the `own` queries: the i-th candidate is right for the i-th query, every other one wrong.

    `symmetric` takes the mean with the loss of finding each positive's query. With `widths` it is the sum over vectors
    of the first so many features (Matryoshka, Kusupati et al. 2022), made unit vectors again.
    """
    total = queries_QE.new_zeros(())
    right_B = torch.arange(own.start, own.stop, device=queries_QE.device)
    for width in widths or (queries_QE.shape[1],):
        query_QE, candidate_ME = unit(queries_QE[:, :width]), unit(candidates_ME[:, :width])
        loss = F.cross_entropy(query_QE[own] @ candidate_ME.T / temperature, right_B, reduction="sum")
        if symmetric:
            back_BQ = candidate_ME[own] @ query_QE.T / temperature
            loss = (loss + F.cross_entropy(back_BQ, right_B, reduction="sum")) / 2
        total = total + loss
    return total


def gathered(own_NE: Tensor, world: World) -> tuple[Tensor, int]:
    """The rows of all processes, one process after another, and the number of this one's first. All call it alike."""
    if world.size == 1:
        return own_NE, 0
    counts = torch.zeros(world.size, dtype=torch.int64)
    counts[world.rank] = len(own_NE)
    world.sum_([counts])
    sizes: list[int] = counts.tolist()
    if not sum(sizes):
        return own_NE, 0
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
