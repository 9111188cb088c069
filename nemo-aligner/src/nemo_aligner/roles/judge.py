"""The judge: scores answers by the recipe's rewards. Torch is not needed here."""

from collections.abc import Sequence

from ..rewards.mixture import Mixture, Scores
from ..rewards.sample import Sample
from ..settings.reward import RewardUse


class Judge:
    """The rewards of a recipe, stateless."""

    def __init__(self, uses: Sequence[RewardUse]) -> None:
        self.mixture = Mixture(uses)

    def score(self, samples: Sequence[Sample]) -> Scores:
        """Total and parts for each sample."""
        return self.mixture.score(samples)
