"""What training minimises.

An objective gives the sum of losses over a batch's targets and never a mean: the loop divides by the number of
targets of the whole global batch, so the loss is the same however a batch is split.

B rows, T places, N targets, C targets of one chunk, E hidden width, V vocabulary.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from ..data.batch import IGNORED, Batch
from ..model.decoder import Decoder
from ..model.heads import cap_slope_, capped_
from ..model.linear import add_product_, product
from ..native.library import take
from ..native.training import lose_

CHUNK = 512


class Objective(Protocol):
    """A summed loss."""

    def __call__(self, model: Decoder, batch: Batch) -> Tensor:
        """Sum of the losses at the batch's targets, a scalar with gradient."""


def next_token_loss(model: Decoder, batch: Batch) -> Tensor:
    """Summed cross-entropy in nats of the targets; pretraining and SFT differ only in which targets a batch has."""
    hidden_NE, targets_N = hidden_at_targets(model, batch)
    result: Tensor = SummedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_NE, model.head_weight, targets_N, CHUNK, model.config.logit_softcap
    )
    return result


def hidden_at_targets(model: Decoder, batch: Batch) -> tuple[Tensor, Tensor]:
    """Hidden states and target tokens at the places that count, [N, E] and [N]."""
    hidden_BTE = model(batch.ids_BT, batch.positions_BT, batch.segments_BT)
    counted_BT = batch.targets_BT != IGNORED
    if counted_BT.all():  # no copy
        return hidden_BTE.flatten(0, 1), batch.targets_BT.flatten()
    return hidden_BTE[counted_BT], batch.targets_BT[counted_BT]


class SummedCrossEntropy(torch.autograd.Function):
    """Cross-entropy of a linear head, chunk by chunk: gradients are made in the forward pass, so no score is computed
    twice and no [N, V] matrix ever exists.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_NE: Tensor, weight_VE: Tensor, targets_N: Tensor, chunk: int, softcap: float | None
    ) -> Tensor:
        """Summed loss in float32; see the class."""
        total = torch.zeros((), dtype=torch.float32, device=hidden_NE.device)
        grad_hidden_NE = torch.empty_like(hidden_NE)
        grad_weight_VE = torch.zeros_like(weight_VE) if ctx.needs_input_grad[1] else None
        for start in range(0, len(targets_N), chunk):
            rows = slice(start, start + chunk)
            score_CV = product(hidden_NE[rows], weight_VE).float()
            loss_C, slope_CV = losses_and_slopes_(score_CV, targets_N[rows], softcap)
            total += loss_C.sum()
            slope_CV = slope_CV.to(hidden_NE.dtype)
            del score_CV  # before the products, which need room themselves
            grad_hidden_NE[rows] = product(slope_CV, weight_VE.T)
            if grad_weight_VE is not None:
                add_product_(grad_weight_VE, slope_CV.T, hidden_NE[rows])
        ctx.grad_hidden_NE, ctx.grad_weight_VE = grad_hidden_NE, grad_weight_VE
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Scale what the forward pass prepared."""
        (scale,) = gradients
        grad_hidden_NE = ctx.grad_hidden_NE * scale.to(ctx.grad_hidden_NE.dtype)
        grad_weight_VE = None if ctx.grad_weight_VE is None else ctx.grad_weight_VE.mul_(scale)
        return grad_hidden_NE, grad_weight_VE, None, None, None


def losses_and_slopes_(score_CV: Tensor, targets_C: Tensor, softcap: float | None) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each row, [C], and its slope by the scores, [C, V], which overwrites them."""
    if softcap is None and take(score_CV):
        return lose_(score_CV, targets_C), score_CV
    score_CV, targets_C1 = capped_(score_CV, softcap), targets_C[:, None]
    logp_CV = score_CV.log_softmax(-1)
    loss_C1 = -logp_CV.gather(1, targets_C1)
    slope_CV = logp_CV.exp_()
    slope_CV.scatter_add_(1, targets_C1, torch.full_like(loss_C1, -1.0))
    return loss_C1[:, 0], cap_slope_(slope_CV, score_CV, softcap)
