"""Documents linked by equal keys, gathered into components by union-find."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Labels = npt.NDArray[Any]
"""One document's number per document, as int32 where that is enough."""


@njit(cache=True, nogil=True)
def root_of(parents, i):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The lowest member of the component of `i`, halving the path to it."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(cache=True, nogil=True)
def join(parents, one, other):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Unite two components; a root is the lowest of its component."""
    first, second = root_of(parents, one), root_of(parents, other)
    if first != second:
        parents[max(first, second)] = min(first, second)


@njit(cache=True, nogil=True)
def join_runs(parents, keys, members):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Unite `members` (ordered by their `keys`) that have equal keys."""
    for i in range(1, keys.shape[0]):
        if keys[i] == keys[i - 1]:
            join(parents, members[i - 1], members[i])


@njit(cache=True, nogil=True)
def flatten(parents):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Point every member at its root."""
    for i in range(parents.shape[0]):
        parents[i] = root_of(parents, i)


def singletons(num_documents: int) -> Labels:
    """Every document a component of its own."""
    return np.arange(num_documents, dtype=np.int32 if num_documents < 1 << 31 else np.int64)


def label(num_documents: int, bands: Iterable[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]]) -> Labels:
    """The lowest document linked to each one.

    Each band, or part of one, is (keys, members): the key of each member document; one is in memory at a time.
    """
    parents = singletons(num_documents)
    for keys, members in bands:
        order = np.argsort(keys)
        join_runs(parents, keys[order], members[order])
    flatten(parents)
    return parents
