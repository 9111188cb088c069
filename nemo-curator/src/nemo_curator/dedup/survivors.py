"""Which document of a component stays."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from .components import Labels
from .keys import KeyTable

Survivor = Literal["first", "longest", "highest"]


def figures(table: KeyTable, survivor: Survivor) -> npt.NDArray[np.float64] | npt.NDArray[np.int64]:
    """What a rule prefers the most of."""
    if survivor == "first":
        return np.zeros(table.num_documents, np.int64)
    return table.lengths() if survivor == "longest" else table.ranks()


def choose(labels: Labels, figure: npt.NDArray[np.float64] | npt.NDArray[np.int64], survivor: Survivor) -> Labels:
    """For each document the one that stands for its component (itself, where it stays).

    "first" is the one with the lowest id; "longest" and "highest" that with the greatest figure, the first of equals.
    """
    if survivor == "first":
        return labels
    order = np.lexsort((-figure, labels))
    leads = np.ones(len(labels), bool)
    leads[1:] = labels[order][1:] != labels[order][:-1]
    best = np.empty_like(labels)
    best[labels[order][leads]] = order[leads]
    return best[labels]
