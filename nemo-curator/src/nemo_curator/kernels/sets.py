"""Jaccard similarity of sets of hashes, each sorted and without repeats."""

import numpy as np
import numpy.typing as npt

from .library import I64, U64, Number, Real, counted, kernel

Hashes = npt.NDArray[np.uint64]

_jaccard = kernel("jaccard", U64, Number, U64, Number, result=Real)
_alike = kernel("alike", U64, Number, I64, Number, Number, Real, I64)


def jaccard(one: Hashes, other: Hashes) -> float:
    """Size of the intersection over size of the union of two sets; 0 for two empty ones."""
    return float(_jaccard(one, len(one), other, len(other)))


def alike(values: Hashes, starts: npt.NDArray[np.int64], row: int, least: float) -> npt.NDArray[np.int64]:
    """Which of the sets behind number `row`, each ``values[starts[i]:starts[i+1]]``, are alike to it by `least`."""
    found = np.empty(len(starts) - 1, np.int64)
    return found[: _alike(*counted(values, starts), row, least, found)]
