"""Similarity sketches in one pass: every shingle enters one bin, and only bins left empty are filled in later rounds.

Fast Similarity Sketching (Dahlgaard, Knudsen, Thorup, FOCS 2017): in round r each shingle falls into a bin and lowers
the value there; a bin filled in an earlier round is not touched. After `bins` rounds, shingle by shingle, bin by bin,
the rest is filled. The share of equal bins estimates the Jaccard similarity without bias, as K permutations do, but a
text of more than a few hundred shingles takes one or two rounds instead of K.
"""

import numpy as np
import numpy.typing as npt

from .library import I64, U32, U64, Hash, Number, counted, kernel

EMPTY = np.uint32(0xFFFFFFFF)

_sketches = kernel("sketches", U64, Number, I64, Number, Number, Hash, U32)


def sketches(
    hashes: npt.NDArray[np.uint64], starts: npt.NDArray[np.int64], bins: int, seed: int
) -> npt.NDArray[np.uint32]:
    """Sketches [documents, bins] of documents whose shingle hashes are ``hashes[starts[i]:starts[i+1]]``."""
    out = np.full((len(starts) - 1, bins), EMPTY, np.uint32)
    _sketches(*counted(hashes, starts), bins, seed, out)
    return out
