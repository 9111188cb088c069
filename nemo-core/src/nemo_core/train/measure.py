"""Held-out loss: what a model thinks of text it has not learnt from.

N targets, C targets of one chunk, E hidden width, V vocabulary.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.batch import Batch
from ..model.decoder import Decoder
from .objective import CHUNK, hidden_at_targets


@dataclass(frozen=True)
class Measured:
    """Mean loss in nats per target, share of targets the model ranks first, and how many targets that is."""

    loss: float
    accuracy: float
    count: int

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return math.exp(min(self.loss, 700.0))


@torch.no_grad()
def measure(model: Decoder, batches: Iterable[Batch], *, device: torch.device | None = None) -> Measured:
    """Loss and accuracy over all targets of `batches`, each target counting once."""
    loss = right = 0.0
    count = 0
    for batch in batches:
        moved = batch if device is None else batch.to(device)
        batch_loss, batch_right = score_targets(model, *hidden_at_targets(model, moved))
        loss += batch_loss
        right += batch_right
        count += moved.num_targets
    if not count:
        return Measured(math.nan, math.nan, 0)
    return Measured(loss / count, right / count, count)


def score_targets(model: Decoder, hidden_NE: Tensor, targets_N: Tensor) -> tuple[float, int]:
    """Summed loss and number of right first guesses."""
    loss, right = 0.0, 0
    for start in range(0, len(targets_N), CHUNK):
        score_CV = model.logits(hidden_NE[start : start + CHUNK]).float()
        targets_C = targets_N[start : start + CHUNK]
        loss += float(torch.nn.functional.cross_entropy(score_CV, targets_C, reduction="sum").double())
        right += int((score_CV.argmax(-1) == targets_C).sum())
    return loss, right
