"""Which document of a component stays."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from .components import Labels

Survivor = Literal["first", "longest"]


def choose(labels: Labels, lengths: npt.NDArray[np.int64], survivor: Survivor) -> Labels:
    """For each document the one that stands for its component (itself, where it stays).

    "first" is the one with the lowest id, "longest" the one with most text, the first of those of equal length.
    """
    if survivor == "first":
        return labels
    documents = np.arange(len(labels))
    order = np.lexsort((documents, -lengths, labels))
    leads = np.ones(len(labels), bool)
    leads[1:] = labels[order][1:] != labels[order][:-1]
    best = np.empty(len(labels), np.int64)
    best[labels[order][leads]] = order[leads]
    return best[labels]
