"""N-gram repetition as NeMo Curator 0.9 defines it: characters with the blanks between words, by all characters.

A text with fewer words than an n-gram has counts as nothing but repetition (1.0).
"""

import numpy as np
from numba import njit

from .repetition import extend, slot_of
from .words import split_words

SHORTEST, LONGEST_TOP, LONGEST = 2, 4, 10


@njit(cache=True, nogil=True)
def most_frequent(grams, n, count, tables, stamp):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Where the most frequent n-gram first occurs; of several, the one that occurs first."""
    keys, stamps, tally = tables
    often = 0
    for i in range(count - n + 1):
        slot = slot_of(keys, stamps, stamp, grams[i])
        if stamps[slot] != stamp:
            stamps[slot], keys[slot], tally[slot] = stamp, grams[i], 0
        tally[slot] += 1
        often = max(often, tally[slot])
    for i in range(count - n + 1):
        if tally[slot_of(keys, stamps, stamp, grams[i])] == often:
            return i
    return -1


@njit(cache=True, nogil=True)
def duplicated(grams, n, count, before, tables, stamp):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Characters of words in n-grams seen before, and of the blanks that go with them, overlaps counted once."""
    keys, stamps, _ = tables
    characters, overlap = 0, 0
    for i in range(count - n + 1):
        slot = slot_of(keys, stamps, stamp, grams[i])
        if stamps[slot] == stamp:
            characters += before[i + n] - before[i + overlap] + min(n - overlap, n - 1)
            overlap = n
        else:
            stamps[slot], keys[slot] = stamp, grams[i]
        overlap = max(overlap - 1, 0)
    return characters


@njit(cache=True, nogil=True)
def repeat_ngrams(data, offsets):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Per document the spans [3, 2] of the most frequent 2..4-gram and the duplicated characters for 5..10.

    A span of -1 and a number of -1 say that there are too few words.
    """
    rows = offsets.shape[0] - 1
    spans, repeated = np.full((rows, 3, 2), -1, np.int64), np.full((rows, 9), -1, np.int64)
    room = np.int64(2)
    for row in range(rows):
        room = max(room, (offsets[row + 1] - offsets[row]) // 2 + 2)
    slots = 16
    while slots < 2 * room:
        slots *= 2
    tables = (np.zeros(slots, np.uint64), np.zeros(slots, np.int64), np.zeros(slots, np.int64))
    starts, ends, lengths = np.zeros(room, np.int64), np.zeros(room, np.int64), np.zeros(room, np.int64)
    hashes, before = np.zeros(room, np.uint64), np.zeros(room + 1, np.int64)
    for row in range(rows):
        count = split_words(data, offsets[row], offsets[row + 1], starts, ends, lengths, hashes)
        for i in range(count):
            before[i + 1] = before[i] + lengths[i]
        grams = hashes[:count].copy()
        for n in range(SHORTEST, min(LONGEST, count) + 1):
            extend(grams, hashes, n, count)
            stamp = 32 * row + n
            if n <= LONGEST_TOP:
                at = most_frequent(grams, n, count, tables, stamp)
                spans[row, n - 2, 0], spans[row, n - 2, 1] = starts[at], ends[at + n - 1]
            repeated[row, n - 2] = duplicated(grams, n, count, before, tables, stamp + 16)
    return spans, repeated
