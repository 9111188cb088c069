"""Losses of alignment as pure functions: per pair or per token, then reduced with weights that know the whole batch.

Shapes: P pairs; N response tokens of some sequences laid end to end; S sequences.

No function here takes a mean. `sequence_weights` is computed once on the global batch (every micro batch, every
worker), and a loss is the weighted sum of its terms; so neither the micro batch size nor the number of workers can
change a result.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Aggregation = Literal["token-mean", "seq-mean", "const"]
Divergence = Literal["k1", "k2", "k3"]

MAX_LOG_RATIO = 20.0
MAX_KL = 10.0


def preference_margin(policy_chosen_P: Tensor, policy_rejected_P: Tensor, reference_margin_P: Tensor) -> Tensor:
    """How much more than the reference the policy prefers the chosen answer, in nats per pair."""
    return policy_chosen_P - policy_rejected_P - reference_margin_P


def dpo(margin_P: Tensor, *, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Direct preference optimisation per pair (Rafailov et al. 2023); ln 2 where policy and reference agree.

    `margin_P` comes from sums of token log-probs. `label_smoothing` is the share of labels thought to be flipped
    (conservative DPO, Mitchell 2023).
    """
    kept = -logsigmoid(beta * margin_P) * (1.0 - label_smoothing)
    return kept - logsigmoid(-beta * margin_P) * label_smoothing


def ipo(margin_P: Tensor, *, beta: float) -> Tensor:
    """Identity preference optimisation per pair (Azar et al. 2023); `margin_P` comes from token means of log-probs."""
    return (margin_P - 1.0 / (2.0 * beta)) ** 2


@dataclass(frozen=True)
class PolicyTerms:
    """What the clipped objective gives per token: loss, probability ratio, and whether the clip was active."""

    loss_N: Tensor
    ratio_N: Tensor
    is_clipped_N: Tensor


def clipped_policy(
    logp_N: Tensor, old_logp_N: Tensor, advantage_N: Tensor, *, clip_low: float = 0.2, clip_high: float = 0.2
) -> PolicyTerms:
    """The clipped surrogate of PPO and GRPO per token (Schulman et al. 2017; two bounds as in DAPO, 2025)."""
    log_ratio_N = (logp_N - old_logp_N).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    ratio_N = log_ratio_N.exp()
    bounded_N = ratio_N.clamp(1.0 - clip_low, 1.0 + clip_high)
    gain_N = torch.minimum(ratio_N * advantage_N, bounded_N * advantage_N)
    too_high_N = (ratio_N > 1.0 + clip_high) & (advantage_N > 0)
    too_low_N = (ratio_N < 1.0 - clip_low) & (advantage_N < 0)
    return PolicyTerms(-gain_N, ratio_N.detach(), (too_high_N | too_low_N).detach())


def kl(logp_N: Tensor, reference_N: Tensor, *, kind: Divergence = "k3") -> Tensor:
    """Estimate of KL(policy || reference) per sampled token (Schulman 2020, "Approximating KL divergence").

    k1 is unbiased, k2 half the squared log-ratio, k3 unbiased and never negative. The log-ratio is clamped to +-20
    and the estimate to +-10, so that one freak token cannot carry a step.
    """
    difference_N = (reference_N - logp_N).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    if kind == "k1":
        estimate_N = -difference_N
    elif kind == "k2":
        estimate_N = difference_N**2 / 2
    else:
        estimate_N = difference_N.expm1() - difference_N
    return estimate_N.clamp(-MAX_KL, MAX_KL)


def sequence_weights(
    num_tokens_S: Tensor, *, aggregation: Aggregation = "token-mean", max_tokens: int | None = None
) -> Tensor:
    """Weight that every token of each sequence carries in the loss of the global batch.

    "token-mean": each token of the batch counts the same (DAPO). "seq-mean": each sequence counts the same, by its
    token mean (GRPO, Shao et al. 2024). "const": each token over sequences x `max_tokens` (Dr. GRPO). `num_tokens_S`
    lists the whole batch. Raises ValueError where "const" has no `max_tokens`.
    """
    lengths_S = num_tokens_S.to(torch.float32)
    num_sequences = max(1, len(num_tokens_S))
    if aggregation == "token-mean":
        return torch.ones_like(lengths_S) / lengths_S.sum().clamp(min=1)
    if aggregation == "seq-mean":
        return 1.0 / (lengths_S.clamp(min=1) * num_sequences)
    if max_tokens is None:
        raise ValueError("aggregation 'const' needs max_tokens, the length that sums are divided by")
    return torch.full_like(lengths_S, 1.0 / (num_sequences * max_tokens))


def weighted_sum(value_N: Tensor, weight_N: Tensor) -> Tensor:
    """This part's share of a mean over the global batch: add the shares of all parts and it is the mean."""
    return (value_N * weight_N).sum()
