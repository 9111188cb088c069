"""How much of a text says again what it said before: repeated lines, paragraphs and word n-grams.

Shares are of characters in words (n-grams) or in stripped lines and paragraphs. Equal hashes (64 bits) count as
equal text.
"""

import numpy as np
from numba import njit

from .words import mix

SHORTEST_TOP, LONGEST_TOP = 2, 4
SHORTEST_DUPLICATE, LONGEST_DUPLICATE = 5, 10


@njit(cache=True, nogil=True)
def slot_of(keys, stamps, stamp, key):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Where `key` lives in an open-addressed table whose entries count only under the present `stamp`."""
    last = np.uint64(keys.shape[0] - 1)
    slot = key & last
    while stamps[slot] == stamp and keys[slot] != key:
        slot = (slot + np.uint64(1)) & last
    return slot


@njit(cache=True, nogil=True)
def repeated_spans(hashes, lengths, count, keys, stamps, stamp):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Share of spans, and of their characters, that repeat an earlier span."""
    repeats, repeated, total = 0, 0, 0
    for i in range(count):
        slot = slot_of(keys, stamps, stamp, hashes[i])
        total += lengths[i]
        if stamps[slot] == stamp:
            repeats += 1
            repeated += lengths[i]
        else:
            stamps[slot], keys[slot] = stamp, hashes[i]
    return (repeats / count, repeated / total) if total else (0.0, 0.0)


@njit(cache=True, nogil=True)
def extend(grams, hashes, n, count):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Turn the hashes of (n-1)-grams into those of n-grams, in place."""
    for i in range(count - n + 1):
        grams[i] = mix(grams[i] * np.uint64(3) + hashes[i + n - 1])


@njit(cache=True, nogil=True)
def top_share(grams, n, count, lengths_before, tables, stamp):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Share of characters in the n-gram that fills most of them, of those that occur at least twice."""
    keys, stamps, tally = tables
    most = 0
    for i in range(count - n + 1):
        slot = slot_of(keys, stamps, stamp, grams[i])
        if stamps[slot] != stamp:
            stamps[slot], keys[slot], tally[slot] = stamp, grams[i], 0
        tally[slot] += 1
        if tally[slot] > 1:
            most = max(most, tally[slot] * (lengths_before[i + n] - lengths_before[i]))
    return min(1.0, most / lengths_before[count])


@njit(cache=True, nogil=True)
def duplicate_share(grams, n, count, lengths_before, tables, stamp):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Share of characters in n-grams that occurred before; overlapping ones count their characters once."""
    keys, stamps, _ = tables
    covered, until = 0, 0
    for i in range(count - n + 1):
        slot = slot_of(keys, stamps, stamp, grams[i])
        if stamps[slot] == stamp:
            covered += lengths_before[i + n] - lengths_before[max(i, until)]
            until = i + n
        else:
            stamps[slot], keys[slot] = stamp, grams[i]
    return covered / lengths_before[count]


@njit(cache=True, nogil=True)
def ngram_shares(hashes, count, lengths_before, tables, stamp, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill `out` with top shares for n = 2..4 and duplicate shares for n = 5..10; the next free stamp."""
    grams = hashes[:count].copy()
    for n in range(2, min(LONGEST_DUPLICATE, count) + 1):
        extend(grams, hashes, n, count)
        stamp += 1
        if n <= LONGEST_TOP:
            out[n - 2] = top_share(grams, n, count, lengths_before, tables, stamp)
        else:
            out[n - 2] = duplicate_share(grams, n, count, lengths_before, tables, stamp)
    return stamp
