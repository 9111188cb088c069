"""What scoring models learn: classes by cross-entropy, preferences by Bradley-Terry.

Both know from the targets of a batch which tokens are scored: at the last token of a text stands its class, at the last
token of an answer that people want, the place in the row of the last token of the one they do not.

B rows, T places, N targets, C scores, E hidden width.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.batch import IGNORED, Batch
from ..model.scoring import ScoringModel


class ScoringObjective(Protocol):
    """A summed loss, and how many targets were scored right."""

    def __call__(self, model: Any, batch: Batch) -> Tensor:
        """Sum of the losses at the batch's targets, a scalar with gradient."""

    def judged(self, model: ScoringModel, batch: Batch) -> tuple[Tensor, Tensor]:
        """Summed loss, and the number of right answers."""


@dataclass(frozen=True)
class ClassLoss:
    """Cross-entropy in nats of a text's class."""

    def __call__(self, model: Any, batch: Batch) -> Tensor:
        """Summed over texts."""
        scores_NC, targets_N = class_scores(model, batch)
        return F.cross_entropy(scores_NC, targets_N, reduction="sum")

    def judged(self, model: ScoringModel, batch: Batch) -> tuple[Tensor, Tensor]:
        """Right is a text whose own class has the highest score."""
        scores_NC, targets_N = class_scores(model, batch)
        return F.cross_entropy(scores_NC, targets_N, reduction="sum"), (scores_NC.argmax(-1) == targets_N).sum()


@dataclass(frozen=True)
class PreferenceLoss:
    """Bradley and Terry (1952): -log sigmoid(score of the answer people want - score of the other - margin).

    The margin is a pair's own (Touvron et al. 2023, section 3.2.2). `center_weight` adds the squared sum of both
    scores, which holds them around 0 (Eisenstein et al. 2023).
    """

    center_weight: float = 0.0

    def __call__(self, model: Any, batch: Batch) -> Tensor:
        """Summed over pairs."""
        return self.judged(model, batch)[0]

    def judged(self, model: ScoringModel, batch: Batch) -> tuple[Tensor, Tensor]:
        """Right is a pair whose wanted answer scores higher."""
        wanted_N, other_N, margin_N = pair_scores(model, batch)
        apart_N = wanted_N - other_N
        loss = -F.logsigmoid(apart_N - margin_N).sum()
        if self.center_weight:
            loss = loss + self.center_weight * (wanted_N + other_N).square().sum()
        return loss, (apart_N > 0).sum()


def class_scores(model: ScoringModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Scores and classes of the texts of a batch, [N, C] and [N]."""
    hidden_BTE = hidden_of(model, batch)
    scored_BT = batch.targets_BT != IGNORED
    return model.score(hidden_BTE[scored_BT]).float(), batch.targets_BT[scored_BT]


def pair_scores(model: ScoringModel, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of the wanted answers and of the others of their pairs, and the margins asked for, [N] each."""
    hidden_BTE = hidden_of(model, batch)
    row_N, wanted_N = torch.nonzero(batch.targets_BT != IGNORED, as_tuple=True)
    other_N = batch.targets_BT[row_N, wanted_N]
    scores = [model.score(hidden_BTE[row_N, place_N]).squeeze(-1).float() for place_N in (wanted_N, other_N)]
    margins_BT = batch.margins_BT
    return scores[0], scores[1], torch.zeros_like(scores[0]) if margins_BT is None else margins_BT[row_N, wanted_N]


def hidden_of(model: ScoringModel, batch: Batch) -> Tensor:
    """Hidden states of packed rows, [B, T, E]."""
    hidden_BTE: Tensor = model.decoder(batch.ids_BT, batch.positions_BT, batch.segments_BT)
    return hidden_BTE


@torch.no_grad()
def measure_scores(
    model: ScoringModel, objective: ScoringObjective, batches: list[Batch], *, device: torch.device
) -> dict[str, float]:
    """Mean loss of held-out targets and share of them that were scored right; nothing where nothing is held out."""
    loss, right, count = 0.0, 0, 0
    for batch in batches:
        batch_loss, batch_right = objective.judged(model, batch.to(device))
        loss, right, count = loss + float(batch_loss), right + int(batch_right), count + batch.num_targets
    return {"validation_loss": loss / count, "validation_accuracy": right / count} if count else {}
