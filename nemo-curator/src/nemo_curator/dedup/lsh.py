"""Locality-sensitive hashing by bands: which pairs of documents become candidates (Leskovec et al., ch. 3)."""

from functools import cache

import numpy as np
import numpy.typing as npt

from ..foundation.errors import ConfigError

CURVE_STEPS = 200


def candidate_probability(similarity: float, *, bands: int, rows: int) -> float:
    """Chance that two documents of this Jaccard similarity share at least one band: 1 - (1 - s^rows)^bands."""
    return float(1.0 - (1.0 - similarity**rows) ** bands)


def threshold(*, bands: int, rows: int) -> float:
    """The similarity near which the curve is steepest: (1/bands)^(1/rows)."""
    return float((1.0 / bands) ** (1.0 / rows))


def curve(*, bands: int, rows: int) -> str:
    """One line that says what this choice of bands finds."""
    points = ", ".join(
        f"{candidate_probability(s, bands=bands, rows=rows):.0%} at {s}" for s in (0.5, 0.6, 0.7, 0.8, 0.9)
    )
    return f"{bands} bands of {rows}: finds pairs of Jaccard similarity {points}"


def unwanted(*, bands: int, rows: int, below: float) -> float:
    """The mean chance of a candidate over all similarities below a threshold: the false ones to expect."""
    similarities = (np.arange(CURVE_STEPS) + 0.5) * below / CURVE_STEPS
    return float(np.mean(1.0 - (1.0 - similarities**rows) ** bands))


@cache
def banding(*, recall: float, jaccard: float, hashes: int) -> tuple[int, int]:
    """Bands and rows, of `hashes` hashes at most, that find pairs of similarity `jaccard` with chance `recall` or more.

    Among those, the choice with the fewest candidates below `jaccard`. Raises ConfigError where there is none.
    """
    found = []
    for rows in range(1, hashes + 1):
        for bands in range(1, hashes // rows + 1):
            if candidate_probability(jaccard, bands=bands, rows=rows) >= recall:
                found.append((unwanted(bands=bands, rows=rows, below=jaccard), bands, rows))
                break  # more bands of as many rows only add candidates
    if not found:
        raise ConfigError(f"recall={recall} at jaccard={jaccard} needs more than hashes={hashes}")
    _, bands, rows = min(found)
    return bands, rows


def permutations(*, count: int, seed: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """The (a, b) of `count` permutations, drawn in turn as NeMo Curator draws them for cuDF's 32-bit MinHash."""
    random = np.random.RandomState(seed)
    prime = (1 << 31) - 1
    pairs = [(random.randint(1, prime), random.randint(0, prime)) for _ in range(count)]
    table = np.array(pairs, np.uint32)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
