"""Figures of a rollout, for the log and for before and after."""

from collections.abc import Iterable, Sequence

import torch

from ..advantages import GroupAdvantages, group_advantages, reward_tensor
from ..settings.grpo import GrpoSettings
from .course import Figures
from .rollout import Scored


def advantages_of(scored: Sequence[Scored], settings: GrpoSettings) -> GroupAdvantages:
    """Advantages of a step's answers, which come group by group."""
    return group_advantages(
        reward_tensor([item.reward for item in scored]),
        torch.arange(len(scored)) // settings.group_size,
        scale=settings.scale_by_std,
        ddof=settings.ddof,
        epsilon=settings.epsilon,
    )


def answer_figures(scored: Sequence[Scored]) -> Figures:
    """Mean reward, its parts, length, and the shares of answers that were cut off or failed."""
    names = list(scored[0].parts)
    return {
        "reward": mean(item.reward for item in scored),
        **{f"reward/{name}": mean(item.parts[name] for item in scored) for name in names},
        "response_tokens": mean(len(item.answer.ids) for item in scored),
        "truncated": mean(not item.answer.is_finished for item in scored),
        "failed": mean(item.reward is None for item in scored),
    }


def rollout_figures(scored: Sequence[Scored], found: GroupAdvantages) -> Figures:
    """`answer_figures`, the spread of rewards, and the share of groups that teach nothing."""
    rewards = reward_tensor([item.reward for item in scored])
    groups = max(1, found.num_groups)
    return {
        **answer_figures(scored),
        "reward_std": float(rewards[found.is_scored_S].std(correction=0)),
        "zero_variance_groups": found.num_zero_variance / groups,
        "singleton_groups": found.num_singletons / groups,
    }


def mean(values: Iterable[float | None]) -> float:
    """Mean of the values that are there; 0 where none is."""
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else 0.0
