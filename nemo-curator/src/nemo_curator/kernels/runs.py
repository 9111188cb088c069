"""Runs of characters or words as data-juicer counts them: how often each run of so many occurs in a text."""

import numpy as np
from numba import njit

from .characters import LETTER, MARK, bits_of, code_point
from .minhash import longest_of
from .repetition import slot_of
from .shingles import BASE, power
from .words import hash_span, mix

VARIATION_SELECTORS = (0xE0100, 0xE01EF)
"""Marks beyond the table of classes."""


@njit(cache=True, nogil=True)
def slots_of(count):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The size of a table of which `count` entries leave a third empty."""
    slots = 16
    while 2 * slots < 3 * count:
        slots *= 2
    return slots


@njit(cache=True, nogil=True)
def count_runs(values, width, keys, stamps, tally, stamp):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Count every run of `width` values; how many there are, how many differ, and the counts of those that repeat."""
    leaving, value = power(width), np.uint64(0)
    slots = slots_of(max(0, len(values) - width + 1))
    keys, stamps, tally = keys[:slots], stamps[:slots], tally[:slots]
    distinct, repeats = 0, 0
    for i in range(len(values)):
        value = value * BASE + values[i]
        if i >= width:
            value -= leaving * values[i - width]
        if i >= width - 1:
            slot = slot_of(keys, stamps, stamp, mix(value))
            if stamps[slot] != stamp:
                stamps[slot], keys[slot], tally[slot] = stamp, mix(value), 0
                distinct += 1
            tally[slot] += 1
            repeats += tally[slot] == 2
    counts = np.empty(repeats, np.int64)
    if repeats:
        at = 0
        for slot in range(slots):
            if stamps[slot] == stamp and tally[slot] > 1:
                counts[at] = tally[slot]
                at += 1
    return distinct, counts


@njit(cache=True, nogil=True)
def character_repetition(data, offsets, width):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Per document the share of the most frequent runs of characters: as many as repeat, or the root of all."""
    rows = offsets.shape[0] - 1
    longest = longest_of(offsets)
    slots = slots_of(longest)
    keys, stamps, tally = np.zeros(slots, np.uint64), np.zeros(slots, np.int32), np.zeros(slots, np.int32)
    values, out = np.empty(longest, np.uint64), np.zeros(rows)
    for row in range(rows):
        count, i = 0, offsets[row]
        while i < offsets[row + 1]:
            code, step = code_point(data, i, offsets[row + 1])
            values[count] = np.uint64(code + 1)
            count += 1
            i += step
        distinct, counts = count_runs(values[:count], width, keys, stamps, tally, np.int32(row + 1))
        root = np.int64(np.sqrt(np.float64(distinct)))  # exact: the number is far below 2^52
        counts.sort()
        most = 0
        for index in range(max(0, counts.shape[0] - root), counts.shape[0]):
            most += counts[index]
        out[row] = most / (count - width + 1) if count >= width else 0.0
    return out


@njit(cache=True, nogil=True)
def word_repetition(hashes, starts, width):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Per document the share of runs of words that occur more than once."""
    rows = starts.shape[0] - 1
    slots = slots_of(longest_of(starts))
    keys, stamps, tally = np.zeros(slots, np.uint64), np.zeros(slots, np.int32), np.zeros(slots, np.int32)
    out = np.zeros(rows)
    for row in range(rows):
        values = hashes[starts[row] : starts[row + 1]]
        _, counts = count_runs(values, width, keys, stamps, tally, np.int32(row + 1))
        if len(values) >= width:
            out[row] = counts.sum() / (len(values) - width + 1)
    return out


@njit(cache=True, nogil=True)
def bare(data, start, end, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The span from its first letter to its last letter or mark; an empty one where it has no letter."""
    first, last, i = end, end, start
    while i < end:
        code, step = code_point(data, i, end)
        bits = bits_of(code, table)
        i += step
        if bits & LETTER:
            first = min(first, i - step)
        marked = (bits & MARK) != 0 or VARIATION_SELECTORS[0] <= code <= VARIATION_SELECTORS[1]
        if first < end and ((bits & LETTER) or marked):
            last = i
    return first, last


@njit(cache=True, nogil=True)
def plain_words(data, offsets, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hashes of the words of all texts, cut at blanks, tabs and newlines and bare of signs, and where each begins."""
    rows = offsets.shape[0] - 1
    hashes = np.empty((offsets[-1] - offsets[0]) // 2 + rows, np.uint64)
    starts = np.zeros(rows + 1, np.int64)
    count = 0
    for row in range(rows):
        begin = offsets[row]
        for i in range(offsets[row], offsets[row + 1] + 1):
            if i == offsets[row + 1] or data[i] == 32 or data[i] == 10 or data[i] == 9:
                first, last = bare(data, begin, i, table)
                if first < last:
                    hashes[count] = hash_span(data, first, last)[0]
                    count += 1
                begin = i + 1
        starts[row + 1] = count
    return hashes[:count].copy(), starts


@njit(cache=True, nogil=True)
def listed_words(hashes, starts, rows, listed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Of each of the documents `rows` how many of its words are among the listed ones, and how many different ones."""
    slots = slots_of(listed.shape[0])
    keys, stamps = np.zeros(slots, np.uint64), np.zeros(slots, np.int64)
    seen = np.full(slots, -1, np.int64)
    for key in listed:
        slot = slot_of(keys, stamps, 1, key)
        keys[slot], stamps[slot] = key, 1
    out = np.zeros((2, rows.shape[0]), np.int64)
    for index in range(rows.shape[0]):
        for i in range(starts[rows[index]], starts[rows[index] + 1]):
            slot = slot_of(keys, stamps, 1, hashes[i])
            if stamps[slot] == 1:
                out[0, index] += 1
                out[1, index] += seen[slot] != index
                seen[slot] = index
    return out
