"""The recipe's rewards together: a weighted mean per sample, with every part kept for the log."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nemo_core.foundation.errors import ConfigError, InputError

from ..settings.reward import RewardUse
from .registry import find_reward
from .sample import Reward, Sample


@dataclass(frozen=True)
class Scores:
    """`total` per sample, None where any part could not score it; `parts` by reward name."""

    total: list[float | None]
    parts: dict[str, list[float | None]]


class Mixture:
    """Several rewards as one: sum of weight x score over the sum of weights."""

    def __init__(self, uses: Sequence[RewardUse]) -> None:
        if not uses:
            raise ConfigError("rewards: is empty; name at least one, for example rewards='[{use: concise}]'")
        if not any(use.weight for use in uses):
            raise ConfigError("rewards: every weight is 0, so no answer is better than another")
        self.weights = dict(zip(_labels(uses), (use.weight for use in uses)))
        self.rewards: dict[str, Reward] = {
            label: find_reward(use.use, use.options) for label, use in zip(self.weights, uses)
        }

    def score(self, samples: Sequence[Sample]) -> Scores:
        """Score `samples`. Raises InputError where a reward itself fails or gives the wrong number of scores."""
        parts = {label: _checked(label, reward, samples) for label, reward in self.rewards.items()}
        columns = zip(*parts.values()) if samples else ()
        return Scores([self._mean(column) for column in columns], parts)

    def _mean(self, scores: tuple[float | None, ...]) -> float | None:
        total = 0.0
        for score, weight in zip(scores, self.weights.values()):
            if score is None:
                return None
            total += weight * score
        return total / sum(abs(weight) for weight in self.weights.values())


def _labels(uses: Sequence[RewardUse]) -> list[str]:
    seen: dict[str, int] = {}
    labels = []
    for use in uses:
        seen[use.use] = seen.get(use.use, 0) + 1
        labels.append(use.use if seen[use.use] == 1 else f"{use.use}#{seen[use.use]}")
    return labels


def _checked(label: str, reward: Reward, samples: Sequence[Sample]) -> list[float | None]:
    try:
        scores = list(reward(samples))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"reward {label!r} failed with {type(error).__name__}: {error}") from error
    if len(scores) != len(samples):
        raise InputError(f"reward {label!r} gave {len(scores)} scores for {len(samples)} samples; one each is needed")
    return [_finite(score) for score in scores]


def _finite(score: float | None) -> float | None:
    return float(score) if score is not None and math.isfinite(score) else None
