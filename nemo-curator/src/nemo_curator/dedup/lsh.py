"""Locality-sensitive hashing by bands: which pairs of documents become candidates (Leskovec et al., ch. 3)."""

import numpy as np
import numpy.typing as npt


def candidate_probability(similarity: float, *, bands: int, rows: int) -> float:
    """Chance that two documents of this Jaccard similarity share at least one band: 1 - (1 - s^rows)^bands."""
    return float(1.0 - (1.0 - similarity**rows) ** bands)


def threshold(*, bands: int, rows: int) -> float:
    """The similarity near which the curve is steepest: (1/bands)^(1/rows)."""
    return float((1.0 / bands) ** (1.0 / rows))


def curve(*, bands: int, rows: int) -> str:
    """One line that says what this choice of bands finds."""
    points = ", ".join(f"{candidate_probability(s, bands=bands, rows=rows):.0%} at {s}" for s in (0.7, 0.8, 0.9))
    return f"{bands} bands of {rows}: finds pairs of Jaccard similarity {points}"


def permutations(*, count: int, seed: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """The (a, b) of `count` permutations, drawn in turn as NeMo Curator draws them for cuDF's 32-bit MinHash."""
    random = np.random.RandomState(seed)
    prime = (1 << 31) - 1
    pairs = [(random.randint(1, prime), random.randint(0, prime)) for _ in range(count)]
    table = np.array(pairs, np.uint32)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
