"""Documents linked by equal keys, gathered into components by union-find."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kernels.library import I32, I64, U64, Number, kernel

Labels = npt.NDArray[Any]
"""One document's number per document, as int32 where that is enough."""


_FUNCTIONS = {
    np.dtype(label): {
        "root_of": kernel(f"root_of_{bits}", kind, Number),
        "join": kernel(f"join_{bits}", kind, Number, Number),
        "join_runs": kernel(f"join_runs_{bits}", kind, Number, U64, I64, Number),
        "flatten": kernel(f"flatten_{bits}", kind, Number),
    }
    for label, kind, bits in ((np.int32, I32, 32), (np.int64, I64, 64))
}


def root_of(parents: Labels, document: int) -> int:
    """The lowest member of the component of a document, halving the path to it."""
    return int(_FUNCTIONS[parents.dtype]["root_of"](parents, document))


def join(parents: Labels, one: int, other: int) -> None:
    """Unite two components; a root is the lowest of its component."""
    _FUNCTIONS[parents.dtype]["join"](parents, one, other)


def join_runs(parents: Labels, keys: npt.NDArray[np.uint64], members: npt.NDArray[np.int64]) -> None:
    """Unite `members` (ordered by their `keys`) that have equal keys."""
    _FUNCTIONS[parents.dtype]["join_runs"](parents, len(parents), keys, members, len(keys))


def flatten(parents: Labels) -> None:
    """Point every member at its root."""
    _FUNCTIONS[parents.dtype]["flatten"](parents, len(parents))


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
