"""Documents linked by equal keys, gathered into components by union-find."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from numba import njit

Labels = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def root_of(parents, i):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The lowest member of the component of `i`, halving the path to it."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(cache=True, nogil=True)
def join_runs(parents, keys, members):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Unite `members` (ordered by their `keys`) that have equal keys; a root is the lowest of its component."""
    for i in range(1, keys.shape[0]):
        if keys[i] != keys[i - 1]:
            continue
        first, second = root_of(parents, members[i - 1]), root_of(parents, members[i])
        if first != second:
            parents[max(first, second)] = min(first, second)


@njit(cache=True, nogil=True)
def flatten(parents):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Point every member at its root."""
    for i in range(parents.shape[0]):
        parents[i] = root_of(parents, i)


def label(num_documents: int, bands: Iterable[tuple[npt.NDArray[np.uint64], Labels]]) -> Labels:
    """The lowest document linked to each one.

    Each band is (keys, members): the key of each member document. One band is sorted in memory at a time.
    """
    parents = np.arange(num_documents, dtype=np.int64)
    for keys, members in bands:
        order = np.argsort(keys, kind="stable")
        join_runs(parents, keys[order], members[order])
    flatten(parents)
    return parents
