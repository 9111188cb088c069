"""Similarity sketches in one pass: every shingle enters one bin, and only bins left empty are filled in later rounds.

Fast Similarity Sketching (Dahlgaard, Knudsen, Thorup, FOCS 2017): in round r each shingle falls into a bin and lowers
the value there; a bin filled in an earlier round is not touched. After `bins` rounds, shingle by shingle, bin by bin,
the rest is filled. The share of equal bins estimates the Jaccard similarity without bias, as K permutations do, but a
text of more than a few hundred shingles takes one or two rounds instead of K.
"""

import numpy as np
from numba import njit

from .words import mix

EMPTY = np.uint32(0xFFFFFFFF)
ROUND = np.uint64(0xA0761D6478BD642F)


@njit(cache=True, nogil=True, inline="always")
def bin_of(value, bins):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The bin that the upper half of a hash falls into."""
    return np.int64(((value >> np.uint64(32)) * np.uint64(bins)) >> np.uint64(32))


@njit(cache=True, nogil=True)
def first_round(hashes, seed, sketch, filled):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Lower the bin of every hash; the number of bins filled."""
    bins = sketch.shape[0]
    for i in range(hashes.shape[0]):
        value = (hashes[i] ^ seed) * np.uint64(0x9FB21C651E98DF25)
        value ^= value >> np.uint64(32)
        at = bin_of(value * np.uint64(0xD6E8FEB86659FD93), bins)
        sketch[at] = min(sketch[at], np.uint32(value))
        filled[at] = True
    return filled.sum()


@njit(cache=True, nogil=True)
def later_round(hashes, seed, turn, sketch, filled, fresh):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill bins that are empty; the number of them that are not any more."""
    bins = sketch.shape[0]
    salt = mix(seed + np.uint64(turn) * ROUND)
    count = 0
    for i in range(hashes.shape[0]):
        value = mix(hashes[i] ^ salt)
        at = bin_of(value, bins) if turn < bins else turn - bins
        if not filled[at]:
            if not fresh[at]:
                fresh[at] = True
                count += 1
            sketch[at] = min(sketch[at], np.uint32(value))
    for at in range(bins):
        filled[at] |= fresh[at]
        fresh[at] = False
    return count


@njit(cache=True, nogil=True)
def sketches(hashes, starts, bins, seed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Sketches [documents, bins] of documents whose shingle hashes are ``hashes[starts[i]:starts[i+1]]``."""
    rows = starts.shape[0] - 1
    out = np.full((rows, bins), EMPTY, np.uint32)
    filled, fresh = np.zeros(bins, np.bool_), np.zeros(bins, np.bool_)
    salt = mix(np.uint64(seed) + np.uint64(1))
    for row in range(rows):
        some = hashes[starts[row] : starts[row + 1]]
        if some.shape[0] == 0:
            continue
        filled[:] = False
        count = first_round(some, salt, out[row], filled)
        turn = 1
        while count < bins:
            count += later_round(some, salt, turn, out[row], filled, fresh)
            turn += 1
    return out
