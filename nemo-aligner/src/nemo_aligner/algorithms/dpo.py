"""The DPO objective: prefer the chosen answer to the rejected one by more than the reference does.

Shapes: P pairs of a micro batch; N answer tokens, chosen answers first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nemo_core.model.decoder import Decoder

from .. import losses
from ..logprobs import Turn, TurnBatch, answer_log_probs, bucket_by_length, collate, sum_by_turn
from .objective import LossTerms, MicroBatch

PreferenceLoss = Literal["dpo", "ipo"]


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, and how much the reference prefers the chosen one (log-prob difference, nats)."""

    chosen: Turn
    rejected: Turn
    reference_margin: float = 0.0


@dataclass(frozen=True, kw_only=True)
class DpoObjective:
    """DPO, conservative DPO (`label_smoothing`) or IPO, with an optional log-likelihood term on chosen answers."""

    beta: float
    loss_type: PreferenceLoss = "dpo"
    label_smoothing: float = 0.0
    sft_weight: float = 0.0

    def cut(self, items: Sequence[Pair], *, max_tokens: int) -> list[MicroBatch[Pair]]:
        """Micro batches of pairs of similar length; every pair weighs the same."""
        lengths = [2 * max(len(pair.chosen), len(pair.rejected)) for pair in items]
        return [
            MicroBatch([items[i] for i in bucket], [1 / len(items)] * len(bucket))
            for bucket in bucket_by_length(lengths, max_tokens=max_tokens)
        ]

    def loss(self, model: Decoder, part: MicroBatch[Pair]) -> LossTerms:
        """The part's share of the mean over pairs."""
        batch = collate([*(pair.chosen for pair in part.items), *(pair.rejected for pair in part.items)])
        score_2P, mean_2P = score_turns(answer_log_probs(model, batch), batch, self.loss_type)
        chosen_P, rejected_P = score_2P.chunk(2)
        weight_P = torch.tensor(part.weights)
        reference_P = torch.tensor([pair.reference_margin for pair in part.items])
        margin_P = losses.preference_margin(chosen_P, rejected_P, reference_P)
        cost_P = self._cost(margin_P) - self.sft_weight * mean_2P.chunk(2)[0]
        return LossTerms(
            losses.weighted_sum(cost_P, weight_P),
            shares={
                name: losses.weighted_sum(value_P.detach(), weight_P)
                for name, value_P in (
                    ("margin", self.beta * margin_P),
                    ("preference_accuracy", (margin_P > 0).float()),
                    ("chosen_logp", mean_2P.chunk(2)[0]),
                    ("rejected_logp", mean_2P.chunk(2)[1]),
                )
            },
        )

    def _cost(self, margin_P: Tensor) -> Tensor:
        if self.loss_type == "ipo":
            return losses.ipo(margin_P, beta=self.beta)
        return losses.dpo(margin_P, beta=self.beta, label_smoothing=self.label_smoothing)


def score_turns(logp_N: Tensor, batch: TurnBatch, loss_type: PreferenceLoss) -> tuple[Tensor, Tensor]:
    """Per turn: the score that `loss_type` compares (sum of log-probs; IPO: their mean), and the mean."""
    sum_B = sum_by_turn(logp_N, batch)
    mean_B = sum_B / sum_by_turn(torch.ones_like(logp_N), batch)
    return (mean_B if loss_type == "ipo" else sum_B), mean_B
