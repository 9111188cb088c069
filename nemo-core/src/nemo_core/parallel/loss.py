"""Cross-entropy where each process holds a part of the vocabulary; no process ever holds all scores of a token.

N targets, C targets of one chunk, E hidden width, W this process's share of the vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from ..checkpoint.state_piece import piece_of
from ..data.batch import Batch
from ..model.decoder import Decoder
from ..model.heads import cap_slope_, capped_
from ..train.objective import CHUNK, Objective, hidden_at_targets, next_token_loss


def objective_for(objective: Objective) -> Objective:
    """The objective of a model split by tensors: next_token_loss by parts of the vocabulary; others gather the head."""
    return split_next_token_loss if objective is next_token_loss else objective


def split_next_token_loss(model: Decoder, batch: Batch) -> Tensor:
    """As `next_token_loss`, each process scoring its own part of the vocabulary."""
    hidden_NE, targets_N = hidden_at_targets(model, batch)
    weight = getattr(model, "head_shard", None)  # of a ShardedHead, also where a pipeline stage stands for it
    if not isinstance(weight, DTensor):
        return next_token_loss(model, batch)
    first = piece_of("head", weight).offset[0]
    group = weight.device_mesh.get_group(weight.device_mesh.ndim - 1)
    result: Tensor = SplitCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_NE, weight.to_local(), targets_N, Part(first, group, model.config.logit_softcap)
    )
    return result


@dataclass(frozen=True)
class Part:
    """A process's part of the vocabulary: its first token, who has the others, and how scores are capped."""

    first: int
    group: dist.ProcessGroup
    softcap: float | None


class SplitCrossEntropy(torch.autograd.Function):
    """Summed cross-entropy of a linear head split by vocabulary; gradients are made in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden_NE: Tensor, weight_WE: Tensor, targets_N: Tensor, part: Part) -> Tensor:
        """Summed loss in float32, the same in every process."""
        total = torch.zeros((), dtype=torch.float32, device=hidden_NE.device)
        grad_hidden_NE = torch.empty_like(hidden_NE)
        grad_weight_WE = torch.zeros_like(weight_WE) if ctx.needs_input_grad[1] else None
        for start in range(0, len(targets_N), CHUNK):
            rows = slice(start, start + CHUNK)
            loss, slope_CW = score_chunk(hidden_NE[rows], weight_WE, targets_N[rows] - part.first, part)
            total += loss
            grad_hidden_NE[rows] = slope_CW @ weight_WE
            if grad_weight_WE is not None:
                grad_weight_WE += slope_CW.T @ hidden_NE[rows]
        dist.all_reduce(grad_hidden_NE, group=part.group)
        ctx.grad_hidden_NE, ctx.grad_weight_WE = grad_hidden_NE, grad_weight_WE
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Scale what the forward pass prepared."""
        (scale,) = gradients
        grad_hidden_NE = ctx.grad_hidden_NE * scale.to(ctx.grad_hidden_NE.dtype)
        grad_weight_WE = None if ctx.grad_weight_WE is None else ctx.grad_weight_WE.mul_(scale)
        return grad_hidden_NE, grad_weight_WE, None, None


def score_chunk(hidden_CE: Tensor, weight_WE: Tensor, local_C: Tensor, part: Part) -> tuple[Tensor, Tensor]:
    """Summed loss of a chunk, and its slope in this process's scores. `local_C` counts from this part's first token."""
    score_CW = capped_((hidden_CE @ weight_WE.T).float(), part.softcap)
    capped_CW = score_CW.clone() if part.softcap is not None else score_CW
    width = weight_WE.shape[0]
    top_C1 = score_CW.amax(-1, keepdim=True) if width else score_CW.new_full((len(local_C), 1), -torch.inf)
    dist.all_reduce(top_C1, op=dist.ReduceOp.MAX, group=part.group)
    is_mine_C1 = ((local_C >= 0) & (local_C < width))[:, None]
    index_C1 = torch.where(is_mine_C1, local_C[:, None], 0)
    target_C1 = score_CW.gather(1, index_C1) * is_mine_C1 if width else torch.zeros_like(top_C1)
    slope_CW = score_CW.sub_(top_C1).exp_()
    shared_2C1 = torch.stack([slope_CW.sum(-1, keepdim=True), target_C1])
    dist.all_reduce(shared_2C1, group=part.group)
    sum_C1, target_C1 = shared_2C1
    loss = (sum_C1.log() + top_C1 - target_C1).sum()
    slope_CW.div_(sum_C1)
    if width:
        slope_CW.scatter_add_(1, index_C1, -is_mine_C1.to(slope_CW.dtype))
    return loss, cap_slope_(slope_CW, capped_CW, part.softcap).to(hidden_CE.dtype)
