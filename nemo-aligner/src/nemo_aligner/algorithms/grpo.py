"""The GRPO objective: raise answers that beat their group, within a clip, and stay near the reference.

Shapes: S rollouts of a micro batch; N answer tokens of them laid end to end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nemo_core.model.decoder import Decoder

from .. import losses
from ..logprobs import Turn, answer_log_probs_and_entropy, bucket_by_length, collate
from .objective import LossTerms, MicroBatch


@dataclass(frozen=True)
class Experience:
    """One answer to learn from: how good it was, and its token log-probs when sampled and under the reference."""

    turn: Turn
    advantage: float
    sampled_logps: Sequence[float]
    reference_logps: Sequence[float] | None = None


@dataclass(frozen=True, kw_only=True)
class GrpoObjective:
    """Clipped policy loss plus `kl_beta` x KL to the reference, reduced by `aggregation`."""

    kl_beta: float = 0.0
    clip_low: float = 0.2
    clip_high: float = 0.2
    aggregation: losses.Aggregation = "token-mean"
    divergence: losses.Divergence = "k3"
    max_answer_tokens: int | None = None
    temperature: float = 1.0

    def cut(self, items: Sequence[Experience], *, max_tokens: int) -> list[MicroBatch[Experience]]:
        """Micro batches of similar length; weights come from the token counts of the whole batch."""
        weight_S = losses.sequence_weights(
            torch.tensor([len(item.turn.answer_ids) for item in items]),
            aggregation=self.aggregation,
            max_tokens=self.max_answer_tokens,
        ).tolist()
        return [
            MicroBatch([items[i] for i in bucket], [weight_S[i] for i in bucket])
            for bucket in bucket_by_length([len(item.turn) for item in items], max_tokens=max_tokens)
        ]

    def loss(self, model: Decoder, part: MicroBatch[Experience]) -> LossTerms:
        """The part's share of the batch's loss."""
        batch = collate([item.turn for item in part.items])
        logp_N, entropy_N = answer_log_probs_and_entropy(model, batch, temperature=self.temperature)
        weight_N = torch.tensor(part.weights)[batch.row_N]
        advantage_N = torch.tensor([item.advantage for item in part.items])[batch.row_N]
        sampled_N = _laid_end_to_end([item.sampled_logps for item in part.items])
        terms = losses.clipped_policy(logp_N, sampled_N, advantage_N, clip_low=self.clip_low, clip_high=self.clip_high)
        loss = losses.weighted_sum(terms.loss_N, weight_N)
        gap_N = (logp_N.detach() - sampled_N).abs()
        values = {"clip_fraction": terms.is_clipped_N.float(), "entropy": entropy_N.detach(), "logp_gap": gap_N}
        if self.kl_beta:
            reference_N = _laid_end_to_end([item.reference_logps or () for item in part.items])
            kl_N = losses.kl(logp_N, reference_N, kind=self.divergence)
            loss = loss + self.kl_beta * losses.weighted_sum(kl_N, weight_N)
            values["kl"] = kl_N.detach()
        return LossTerms(
            loss,
            shares={name: losses.weighted_sum(value_N, weight_N) for name, value_N in values.items()},
            peaks={"logp_gap_max": gap_N.max(), "ratio_max": terms.ratio_N.max()},
        )


def _laid_end_to_end(rows: Sequence[Sequence[float]]) -> Tensor:
    return torch.tensor([value for row in rows for value in row], dtype=torch.float32)
