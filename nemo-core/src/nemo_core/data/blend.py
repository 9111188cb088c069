"""Several collections in one stream of samples, each with its exact share, and any place of the stream known at once.

Weights become whole numbers of samples in a period that repeats. Within it, sample c of a collection with `parts` of
the `period` places is put between places floor(c * period / parts) and ceil((c + 1) * period / parts), earliest
deadline first (Baruah et al. 1996, proportionate fairness; Tijdeman 1980), so after any number of samples no
collection is a whole sample ahead of or behind its share. Nothing grows with the number of samples.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

import numpy as np
from numpy.typing import NDArray

from ..foundation.errors import ConfigError

LONGEST_PERIOD = 2**20


def shares(weights: Mapping[str, float]) -> list[Fraction]:
    """The exact share of each named collection: weights that sum to 1, or whole numbers as parts of their sum.

    Raises ConfigError for anything else, saying what the weights sum to.
    """
    for name, weight in weights.items():
        if not 0 < weight < float("inf"):
            raise ConfigError(f"{name}: weight={weight}; a weight must be above 0; leave the collection out instead")
    exact = [Fraction(str(weight)) for weight in weights.values()]
    total = sum(exact)
    if total == 1 or all(share.denominator == 1 for share in exact):
        return [share / total for share in exact]
    if abs(float(total) - 1) < 1e-9:
        return [share / total for share in exact]
    listed = ", ".join(f"{name}={weight}" for name, weight in weights.items())
    raise ConfigError(
        f"weights sum to {float(total):.10g}, not 1 ({listed}); give shares that sum to 1, or whole numbers as parts"
    )


def whole_parts(exact: Sequence[Fraction]) -> list[int]:
    """Shares as whole numbers of samples in a period; rounded, each by less than one, where it would be too long."""
    period = lcm(*(share.denominator for share in exact))
    if period <= LONGEST_PERIOD:
        return [int(share * period) for share in exact]
    parts = [max(1, int(share * LONGEST_PERIOD)) for share in exact]
    by_loss = sorted(range(len(parts)), key=lambda n: (parts[n] - exact[n] * LONGEST_PERIOD, n))
    for number in by_loss[: max(0, LONGEST_PERIOD - sum(parts))]:
        parts[number] += 1
    divisor = gcd(*parts)
    return [part // divisor for part in parts]


def arrange(parts: Sequence[int]) -> NDArray[np.int32]:
    """Which collection each place of a period belongs to; collection d has `parts[d]` of the sum(parts) places."""
    period = sum(parts)
    released: list[tuple[int, int, int]] = []
    later = [(0, number, 0) for number in range(len(parts))]
    heapq.heapify(later)
    places = np.empty(period, dtype=np.int32)
    for place in range(period):
        while later and later[0][0] <= place:
            _, number, count = heapq.heappop(later)
            heapq.heappush(released, (-(-(count + 1) * period // parts[number]), number, count))
        _, number, count = heapq.heappop(released)
        places[place] = number
        if count + 1 < parts[number]:
            heapq.heappush(later, ((count + 1) * period // parts[number], number, count + 1))
    return places


@dataclass(frozen=True)
class Blend:
    """Finds the collection of any place of the stream, and which of its samples (counted from 0) it is."""

    parts: tuple[int, ...]
    places: NDArray[np.int32]
    ranks: NDArray[np.int64]

    def locate(self, place: int) -> tuple[int, int]:
        """Number of the collection and of its sample at `place`."""
        period, within = divmod(place, len(self.places))
        number = int(self.places[within])
        return number, period * self.parts[number] + int(self.ranks[within])


def blend(weights: Mapping[str, float]) -> Blend:
    """The blend of collections with these weights. Raises ConfigError as `shares` does."""
    parts = whole_parts(shares(weights))
    places = arrange(parts)
    ranks = np.empty(len(places), dtype=np.int64)
    for number, part in enumerate(parts):
        ranks[places == number] = np.arange(part)
    return Blend(tuple(parts), places, ranks)
