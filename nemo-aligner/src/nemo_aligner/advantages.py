"""Advantages: how much better an answer did than the others to the same prompt.

Shapes: S samples; G groups (the samples of one prompt).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GroupAdvantages:
    """Advantages and what went into them. `is_scored_S` is False for failed samples: they take no part in training."""

    advantage_S: Tensor
    is_scored_S: Tensor
    num_groups: int
    num_singletons: int
    num_zero_variance: int

    @property
    def num_failed(self) -> int:
        """Samples that had no reward."""
        return int((~self.is_scored_S).sum())


def reward_tensor(rewards: Sequence[float | None]) -> Tensor:
    """Rewards as float64 of shape [S]; NaN where a sample could not be scored."""
    return torch.tensor([float("nan") if reward is None else reward for reward in rewards], dtype=torch.float64)


def group_advantages(
    reward_S: Tensor, group_S: Tensor, *, scale: bool = True, ddof: int = 1, epsilon: float = 1e-4
) -> GroupAdvantages:
    """(reward - group mean) / (group std + epsilon) for each sample (GRPO, Shao et al. 2024), as float32.

    Groups are told by explicit ids, never by comparing prompts. `ddof` 1 is the unbiased deviation; `scale` False
    leaves the deviation out (Dr. GRPO). NaN rewards are failed samples: they enter neither mean nor deviation and are
    marked unscored. A sample alone in its group has nothing to compare with: its advantage is 0, and it is counted.
    """
    is_scored_S = ~reward_S.isnan()
    group_ids_G, index_S = torch.unique(group_S, return_inverse=True)
    reward_S = torch.where(is_scored_S, reward_S, 0.0).to(torch.float64)
    count_G = _sum_by(index_S, is_scored_S.to(torch.float64), len(group_ids_G))
    mean_G = _sum_by(index_S, reward_S, len(group_ids_G)) / count_G.clamp(min=1)
    centred_S = torch.where(is_scored_S, reward_S - mean_G[index_S], 0.0)
    squares_G = _sum_by(index_S, centred_S**2, len(group_ids_G))
    std_G = (squares_G / (count_G - ddof).clamp(min=1)).sqrt()
    is_comparable_G = count_G > 1
    advantage_S = centred_S / (std_G[index_S] + epsilon) if scale else centred_S
    advantage_S = torch.where(is_comparable_G[index_S], advantage_S, 0.0)
    return GroupAdvantages(
        advantage_S=advantage_S.to(torch.float32),
        is_scored_S=is_scored_S,
        num_groups=int((count_G > 0).sum()),
        num_singletons=int((count_G == 1).sum()),
        num_zero_variance=int((is_comparable_G & (std_G < 1e-12)).sum()),
    )


def _sum_by(index_S: Tensor, value_S: Tensor, num_groups: int) -> Tensor:
    return torch.zeros(num_groups, dtype=value_S.dtype).index_add_(0, index_S, value_S)
