"""Words, lines and paragraphs of UTF-8 text as spans with hashes: cut once, shared by every rule.

A word is what Python's ``str.split()`` yields; a line is what stands between newlines, stripped and not blank; a
paragraph is what stands between blank lines. Positions are bytes, lengths are characters.
"""

import numpy as np
from numba import njit

SEED = np.uint64(0x9E3779B97F4A7C15)
PRIME = np.uint64(0x100000001B3)


@njit(cache=True, nogil=True)
def space_length(data, i, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Bytes of the whitespace character at `i` (as ``str.isspace`` has it), 0 where it is none."""
    c = data[i]
    if c < 0x80:
        return 1 if c == 32 or 9 <= c <= 13 or 28 <= c <= 31 else 0
    if c == 0xC2 and i + 1 < end:
        return 2 if data[i + 1] in (0x85, 0xA0) else 0
    if i + 2 >= end:
        return 0
    second, third = data[i + 1], data[i + 2]
    if c == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    if c == 0xE2:
        if second == 0x80:
            return 3 if 0x80 <= third <= 0x8A or third in (0xA8, 0xA9, 0xAF) else 0
        return 3 if second == 0x81 and third == 0x9F else 0
    if c == 0xE3:
        return 3 if second == 0x80 and third == 0x80 else 0
    return 0


@njit(cache=True, nogil=True)
def mix(value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Spread every bit of a 64-bit value over all of it (the finaliser of SplitMix64)."""
    value = np.uint64(value)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def split_words(data, start, end, starts, ends, characters, hashes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill the four arrays with the words of ``data[start:end]``; their number."""
    count = 0
    i = start
    while i < end:
        step = space_length(data, i, end)
        if step:
            i += step
            continue
        first, length, value = i, 0, SEED
        while i < end:
            c = data[i]
            if (c <= 32 or c >= 0xC2) and space_length(data, i, end):
                break
            value = (value ^ np.uint64(c)) * PRIME
            length += (c & 0xC0) != 0x80
            i += 1
        starts[count], ends[count], characters[count], hashes[count] = first, i, length, mix(value)
        count += 1
    return count


@njit(cache=True, nogil=True)
def strip(data, start, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The span without ASCII whitespace at its ends."""
    while start < end and (data[start] == 32 or 9 <= data[start] <= 13):
        start += 1
    while end > start and (data[end - 1] == 32 or 9 <= data[end - 1] <= 13):
        end -= 1
    return start, end


@njit(cache=True, nogil=True)
def hash_span(data, start, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hash and length in characters of ``data[start:end]``."""
    value, length = SEED, 0
    for i in range(start, end):
        value = (value ^ np.uint64(data[i])) * PRIME
        length += (data[i] & 0xC0) != 0x80
    return mix(value), length


@njit(cache=True, nogil=True)
def split_lines(data, start, end, starts, ends):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill the arrays with the stripped lines of ``data[start:end]`` that are not blank; their number."""
    count = 0
    first = start
    for i in range(start, end + 1):
        if i == end or data[i] == 10:
            low, high = strip(data, first, i)
            if low < high:
                starts[count], ends[count] = low, high
                count += 1
            first = i + 1
    return count


@njit(cache=True, nogil=True)
def join_paragraphs(data, lines, starts, ends):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Join neighbouring lines in place into paragraphs, which blank lines part; their number."""
    count = 0
    for line in range(lines):
        newlines = 0
        if count:
            for i in range(ends[count - 1], starts[line]):
                newlines += data[i] == 10
        if newlines == 1:
            ends[count - 1] = ends[line]
        else:
            starts[count], ends[count] = starts[line], ends[line]
            count += 1
    return count
