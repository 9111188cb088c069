"""Lines, paragraphs and words as NeMo Curator 0.9 looks at them: marks at their ends, and which come twice.

Lines are split at newlines, paragraphs at double ones, and neither is stripped before it is compared.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import njit

from .repetition import slot_of
from .words import hash_span, space_length

COUNTS = (
    "words",
    "symbols",
    "stop_words",
    "lines",
    "bullets",
    "ellipses",
    "unended",
    "distinct_lines",
    "line_characters",
    "distinct_line_characters",
    "paragraphs",
    "distinct_paragraphs",
    "paragraph_characters",
    "distinct_paragraph_characters",
)
PACKED_BYTES = 7


def packed(words: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Words of seven bytes at most as numbers, as `pack` makes them of spans."""
    return np.array([int.from_bytes(b"\1" + word.encode(), "big") for word in words], np.uint64)


def joined(endings: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of all endings, and where each begins and ends among them."""
    parts = [ending.encode() for ending in endings]
    bounds = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return np.frombuffer(b"".join(parts), np.uint8), bounds.astype(np.int64)


@njit(cache=True, nogil=True)
def pack(data, start, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The bytes of a span as one number, behind a byte of 1; 0 where there are more than seven."""
    if end - start > PACKED_BYTES:
        return np.uint64(0)
    value = np.uint64(1)
    for i in range(start, end):
        value = (value << np.uint64(8)) | np.uint64(data[i])
    return value


@njit(cache=True, nogil=True)
def among(value, values):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether it is one of a few."""
    for each in values:  # noqa: SIM110 - a generator does not compile
        if value == each:
            return True
    return False


@njit(cache=True, nogil=True)
def mostly_hashes(data, start, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether runs of hash signs are more than half as many as the characters of a word."""
    runs, characters = 0, 0
    for i in range(start, end):
        characters += (data[i] & 0xC0) != 0x80
        runs += data[i] == 35 and (i == start or data[i - 1] != 35)
    return 2 * runs > characters


@njit(cache=True, nogil=True)
def count_words(data, start, end, symbols, stop_words, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill the first three COUNTS of one text."""
    i = start
    while i < end:
        step = space_length(data, i, end)
        if step:
            i += step
            continue
        first, hashes = i, False
        while i < end:
            c = data[i]
            if (c <= 32 or c >= 0xC2) and space_length(data, i, end):
                break
            hashes |= c == 35
            i += 1
        word = pack(data, first, i)
        out[0] += 1
        out[1] += among(word, symbols) or (hashes and mostly_hashes(data, first, i))
        out[2] += among(word, stop_words)


@njit(cache=True, nogil=True)
def inner(data, start, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The span without white space at its ends."""
    first, last, i = end, end, start
    while i < end:
        step = space_length(data, i, end)
        if step:
            i += step
            continue
        first = min(first, i)
        i += 1
        while i < end and (data[i] & 0xC0) == 0x80:
            i += 1
        last = i
    return first, last


@njit(cache=True, nogil=True)
def ends_with(data, start, end, endings, bounds):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether a span ends with one of the endings, which are in lower case, whatever the case of its Latin letters."""
    for index in range(bounds.shape[0] - 1):
        length = bounds[index + 1] - bounds[index]
        if end - start < length:
            continue
        same = True
        for i in range(length):
            c = data[end - length + i]
            same &= (c + 32 if 65 <= c <= 90 else c) == endings[bounds[index] + i]
        if same:
            return True
    return False


@njit(cache=True, nogil=True)
def count_ends(data, start, end, bullets, marks, endings, bounds, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Add one line to the counts of bullets, ellipses and lines without an end mark; False where it is blank."""
    first, last = inner(data, start, end)
    if first == last:
        return False
    out[3] += 1
    out[4] += last - first >= 3 and among(pack(data, first, first + 3), bullets)
    out[5] += ends_with(data, first, last, endings, bounds)
    out[6] += not among(pack(data, last - 1, last), marks)
    return True


@njit(cache=True, nogil=True)
def count_part(data, start, end, keys, stamps, stamp, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Add a line or paragraph to the counts of distinct ones, of all characters, and of those of distinct ones."""
    key, characters = hash_span(data, start, end)
    slot = slot_of(keys, stamps, stamp, key)
    fresh = stamps[slot] != stamp
    stamps[slot], keys[slot] = stamp, key
    out[0] += fresh
    out[1] += characters
    out[2] += characters * fresh


@njit(cache=True, nogil=True)
def count_lines(data, offsets, symbols, stop_words, bullets, marks, endings, bounds):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """COUNTS [14, documents] of the strings in an Arrow buffer."""
    rows = offsets.shape[0] - 1
    out = np.zeros((rows, 14), np.int64)
    most = 0
    for row in range(rows):
        newlines = 2
        for i in range(offsets[row], offsets[row + 1]):
            newlines += data[i] == 10
        most = max(most, newlines)
    slots = 16
    while slots < 2 * most:
        slots *= 2
    keys, stamps = np.zeros(slots, np.uint64), np.zeros(slots, np.int64)
    for row in range(rows):
        start, end, counts = offsets[row], offsets[row + 1], out[row]
        count_words(data, start, end, symbols, stop_words, counts)
        first = start
        for i in range(start, end + 1):
            if i == end or data[i] == 10:
                if count_ends(data, first, i, bullets, marks, endings, bounds, counts):
                    count_part(data, first, i, keys, stamps, 2 * row + 1, counts[7:10])
                first = i + 1
        first, i = start, start
        while i <= end:
            double = i + 1 < end and data[i] == 10 and data[i + 1] == 10
            if double or i == end:
                counts[10] += 1
                count_part(data, first, i, keys, stamps, 2 * row + 2, counts[11:14])
                first = i + 2
            i += 2 if double else 1
    return out.T.copy()
