"""The divergence of a student's next-token distributions from a teacher's, chunk by chunk over tokens.

N tokens, C tokens of one chunk, E and G hidden widths of student and teacher, V vocabulary.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.batch import Batch
from ..model.decoder import Decoder
from ..model.heads import cap_slope_, capped_
from ..train.objective import CHUNK, hidden_at_targets, next_token_loss
from .states import overheard, summed_distance

Head = tuple[Tensor, float | None]


def summed_divergence(
    hidden_NE: Tensor,
    student: Head,
    teacher_NG: Tensor,
    teacher: Head,
    *,
    temperature: float,
    mixture: float = 0.0,
    chunk: int = CHUNK,
) -> Tensor:
    """T^2 * sum over tokens of the divergence of both, softened by the temperature T; a scalar with gradient.

    `mixture` 0 is KL(teacher || student), 1 is KL(student || teacher), between them the generalised Jensen-Shannon
    divergence: b KL(teacher || m) + (1 - b) KL(student || m) with m = b teacher + (1 - b) student (Agarwal et al. 2024,
    equation 1). A head is an output embedding [V, width] and its soft cap. T^2 keeps gradients of like size for any T
    (Hinton et al. 2015, section 2). No [N, V] matrix ever exists.
    """
    result: Tensor = SummedDivergence.apply(  # type: ignore[no-untyped-call]
        hidden_NE, student[0], student[1], teacher_NG, teacher[0], teacher[1], temperature, mixture, chunk
    )
    return result


def divergence_and_slope(log_CV: Tensor, wanted_CV: Tensor, mixture: float) -> tuple[Tensor, Tensor]:
    """Summed divergence of log-probabilities of student and teacher, and its slope by the student's scores, [C, V].

    With g = d divergence / d log p of the student, the slope is g - p * sum(g).
    """
    if mixture == 0:
        share_CV = wanted_CV.exp()
        return (share_CV * (wanted_CV - log_CV)).sum(), log_CV.exp() - share_CV
    own_CV = log_CV.exp()
    if mixture == 1:
        apart_CV, total = log_CV - wanted_CV, torch.zeros((), device=log_CV.device)
    else:
        parts = torch.stack([log_CV + math.log1p(-mixture), wanted_CV + math.log(mixture)])
        middle_CV = parts.logsumexp(0)
        apart_CV = log_CV - middle_CV
        total = mixture * (wanted_CV.exp() * (wanted_CV - middle_CV)).sum()
    weight = 1.0 if mixture == 1 else 1 - mixture
    pull_CV = weight * own_CV * apart_CV
    return total + pull_CV.sum(), pull_CV - own_CV * pull_CV.sum(-1, keepdim=True)


class SummedDivergence(torch.autograd.Function):
    """Gradients are made in the forward pass, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_NE: Tensor,
        weight_VE: Tensor,
        softcap: float | None,
        teacher_NG: Tensor,
        teacher_VG: Tensor,
        teacher_softcap: float | None,
        temperature: float,
        mixture: float,
        chunk: int,
    ) -> Tensor:
        """Summed divergence in float32; see the class."""
        total = torch.zeros((), dtype=torch.float32, device=hidden_NE.device)
        grad_hidden_NE = torch.empty_like(hidden_NE)
        grad_weight_VE = torch.zeros_like(weight_VE) if ctx.needs_input_grad[1] else None
        for start in range(0, len(hidden_NE), chunk):
            rows = slice(start, start + chunk)
            score_CV = capped_((hidden_NE[rows] @ weight_VE.T).float(), softcap)
            wanted_CV = capped_((teacher_NG[rows] @ teacher_VG.T).float(), teacher_softcap)
            wanted_CV = wanted_CV.div_(temperature).log_softmax(-1)
            part, slope_CV = divergence_and_slope((score_CV / temperature).log_softmax(-1), wanted_CV, mixture)
            total += part * temperature**2
            slope_CV = cap_slope_(slope_CV.mul_(temperature), score_CV, softcap).to(hidden_NE.dtype)
            grad_hidden_NE[rows] = slope_CV @ weight_VE
            if grad_weight_VE is not None:
                grad_weight_VE += slope_CV.T @ hidden_NE[rows]
        ctx.grad_hidden_NE, ctx.grad_weight_VE = grad_hidden_NE, grad_weight_VE
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Scale what the forward pass prepared."""
        (scale,) = gradients
        grad_hidden_NE = ctx.grad_hidden_NE * scale.to(ctx.grad_hidden_NE.dtype)
        grad_weight_VE = None if ctx.grad_weight_VE is None else ctx.grad_weight_VE.mul_(scale)
        return grad_hidden_NE, grad_weight_VE, None, None, None, None, None, None, None


@dataclass(frozen=True)
class DistillationLoss:
    """An objective: `share` of the divergence from the teacher, the rest of cross-entropy with the text itself.

    `mixture` says which divergence, as in `summed_divergence`.

    `hidden_weight` adds the squared distance of the last hidden states, as a share of the teacher's squared length;
    `layer_weight` and `attention_weight` that of what layers, and their attention alone, give at the same share of the
    depth. All three need equal widths.
    """

    teacher: Decoder
    temperature: float = 1.0
    share: float = 1.0
    hidden_weight: float = 0.0
    layer_weight: float = 0.0
    attention_weight: float = 0.0
    mixture: float = 0.0

    def __call__(self, model: Decoder, batch: Batch) -> Tensor:
        """Summed loss at the batch's targets."""
        weights = {"layer": self.layer_weight, "attention": self.attention_weight}
        inside = {part: weight for part, weight in weights.items() if weight}
        with torch.no_grad(), overheard(self.teacher, tuple(inside)) as theirs:
            teacher_NG, _ = hidden_at_targets(self.teacher, batch)
        with overheard(model, tuple(inside)) as mine:
            hidden_NE, _ = hidden_at_targets(model, batch)
        loss = self.share * summed_divergence(
            hidden_NE,
            (model.head_weight, model.config.logit_softcap),
            teacher_NG,
            (self.teacher.head_weight, self.teacher.config.logit_softcap),
            temperature=self.temperature,
            mixture=self.mixture,
        )
        if self.share < 1:
            loss = loss + (1 - self.share) * next_token_loss(model, batch)
        if self.hidden_weight:
            distance_N = F.mse_loss(hidden_NE, teacher_NG, reduction="none").sum(-1)
            loss = loss + self.hidden_weight * (distance_N / teacher_NG.square().sum(-1)).sum()
        for part, weight in inside.items():
            loss = loss + weight * summed_distance(mine[part], theirs[part], batch)
        return loss
