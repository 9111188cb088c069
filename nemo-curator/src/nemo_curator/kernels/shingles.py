"""64-bit hashes of shingles: windows of characters or of words, by a polynomial that rolls over them.

The hash of a window is ``sum(code[j] * BASE**(width-1-j)) mod 2**64`` over the mixed codes of its characters (or the
hashes of its words), mixed once more; so each costs a few operations, whatever the width. A text shorter than a
window is one window.
"""

import numpy as np
from numba import njit

from .words import mix, split_words

BASE = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def power(exponent):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """``BASE**exponent mod 2**64``."""
    value = np.uint64(1)
    for _ in range(exponent):
        value *= BASE
    return value


@njit(cache=True, nogil=True, inline="always")
def width_of(lead):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Bytes of the UTF-8 character that begins with `lead`."""
    if lead < 0x80:
        return 1
    if lead < 0xE0:
        return 2
    return 3 if lead < 0xF0 else 4


@njit(cache=True, nogil=True, inline="always")
def code(data, at, width):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The bytes of one character as a number, spread over 64 bits."""
    value = np.uint64(data[at]) + np.uint64(1)
    for i in range(1, width):
        value = (value << np.uint64(8)) | np.uint64(data[at + i])
    return value * np.uint64(0xD6E8FEB86659FD93)


@njit(cache=True, nogil=True)
def character_shingles(data, start, end, width, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hash every window of `width` characters of ``data[start:end]`` into `out`; the number of windows."""
    leaving = power(width)
    value, seen, count = np.uint64(0), 0, 0
    head, tail = start, start
    while tail < end:
        size = width_of(data[tail])
        value = value * BASE + code(data, tail, min(size, end - tail))
        tail += size
        if seen < width:
            seen += 1
        else:
            size = width_of(data[head])
            value -= leaving * code(data, head, size)
            head += size
        if seen == width:
            out[count] = mix(value)
            count += 1
    if seen and count == 0:
        out[0] = mix(value)
        return 1
    return count


@njit(cache=True, nogil=True)
def roll(codes, count, width, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hash every window of `width` of the first `count` codes into `out`; the number of windows."""
    leaving = power(width)
    value, windows = np.uint64(0), 0
    for i in range(count):
        value = value * BASE + codes[i]
        if i >= width:
            value -= leaving * codes[i - width]
        if i >= width - 1:
            out[windows] = mix(value)
            windows += 1
    if count and windows == 0:
        out[0] = mix(value)
        return 1
    return windows


@njit(cache=True, nogil=True)
def shingle_hashes(data, offsets, width, words):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hashes of the shingles of all strings of an Arrow buffer, end to end, and where each string's begin.

    `words` says whether windows are of words or of characters.
    """
    rows = offsets.shape[0] - 1
    out = np.empty(offsets[rows] - offsets[0], np.uint64)
    starts = np.zeros(rows + 1, np.int64)
    longest = 1
    for row in range(rows if words else 0):
        longest = max(longest, offsets[row + 1] - offsets[row])
    room = longest // 2 + 1 if words else 1
    firsts, lasts, lengths = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    codes = np.empty(room, np.uint64)
    for row in range(rows):
        into = out[starts[row] :]
        if words:
            count = split_words(data, offsets[row], offsets[row + 1], firsts, lasts, lengths, codes)
            starts[row + 1] = starts[row] + roll(codes, count, width, into)
        else:
            starts[row + 1] = starts[row] + character_shingles(data, offsets[row], offsets[row + 1], width, into)
    return out[: starts[rows]], starts
