"""What every reward must satisfy; run it on your own: ``check_reward(my_reward, samples)``."""

import math
from collections.abc import Sequence

from .sample import Reward, Sample


def check_reward(reward: Reward, samples: Sequence[Sample]) -> None:
    """Raise AssertionError, naming the rule, unless `reward` behaves on `samples` (give it two or more)."""
    scores = list(reward(samples))
    assert len(scores) == len(samples), f"one score per sample: {len(scores)} for {len(samples)}"
    assert all(s is None or math.isfinite(s) for s in scores), f"scores are finite or None: {scores}"
    assert list(reward(samples)) == scores, "the same samples score the same twice"
    assert list(reward(samples[::-1])) == scores[::-1], "a score does not depend on the order of samples"
    assert [s for sample in samples for s in reward([sample])] == scores, "a score does not depend on other samples"
    assert list(reward([])) == [], "no samples, no scores"
