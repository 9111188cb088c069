"""All numbers that the Gopher rules look at, for every document, in one pass over the text."""

import numpy as np
import numpy.typing as npt
from numba import njit

from .characters import LETTER, bits_of, classes, code_point
from .repetition import ngram_shares, repeated_spans
from .strings import Bytes, Offsets
from .words import hash_span, join_paragraphs, split_lines, split_words

SCORES = (
    "words",
    "mean_word_length",
    "symbols_per_word",
    "bullet_lines",
    "ellipsis_lines",
    "alphabetic_words",
    "stop_words",
    "duplicate_lines",
    "duplicate_line_characters",
    "duplicate_paragraphs",
    "duplicate_paragraph_characters",
    "top_2_gram",
    "top_3_gram",
    "top_4_gram",
    *(f"duplicate_{n}_grams" for n in range(5, 11)),
)
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
LONGEST_STOP_WORD = 4


def packed_stop_words() -> npt.NDArray[np.uint64]:
    """Each stop word as its ASCII bytes in one integer."""
    return np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS], np.uint64)


@njit(cache=True, nogil=True)
def letters_of(data, start, end, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Where the first letter of a word begins and the last one ends; start = end where it has none."""
    first = start
    while first < end:
        code, step = code_point(data, first, end)
        if bits_of(code, table) & LETTER:
            break
        first += step
    last = end
    while last > first:
        i = last - 1
        while i > first and (data[i] & 0xC0) == 0x80:
            i -= 1
        if bits_of(code_point(data, i, end)[0], table) & LETTER:
            return first, last
        last = i
    return start, start


@njit(cache=True, nogil=True)
def stop_word_bit(data, start, end, stop_words):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The bit of the stop word that ``data[start:end]`` is, apart from case; 0 where it is none."""
    if end - start < 2 or end - start > LONGEST_STOP_WORD:
        return 0
    packed = np.uint64(0)
    for i in range(end - 1, start - 1, -1):
        packed = (packed << np.uint64(8)) | np.uint64(data[i] | 0x20)
    for k in range(stop_words.shape[0]):
        if stop_words[k] == packed:
            return 1 << k
    return 0


@njit(cache=True, nogil=True)
def symbols(data, start, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """How many hash signs, and how many ellipses ("..." or U+2026), are in the span; the larger count."""
    hashes, ellipses, dots = 0, 0, 0
    for i in range(start, end):
        c = data[i]
        hashes += c == 35
        dots = dots + 1 if c == 46 else 0
        if dots == 3:
            ellipses += 1
            dots = 0
        if c == 0xA6 and i - start >= 2 and data[i - 1] == 0x80 and data[i - 2] == 0xE2:
            ellipses += 1
    return max(hashes, ellipses)


@njit(cache=True, nogil=True)
def is_bullet(data, start, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether a line begins with a bullet: - * or one of U+2022 U+2023 U+25B6 U+25C0 U+25E6 U+25A0 U+25A1 U+25AA."""
    c = data[start]
    if c in (42, 45):
        return True
    if c != 0xE2 or start + 2 >= end:
        return False
    second, third = data[start + 1], data[start + 2]
    if second == 0x80:
        return third in (0xA2, 0xA3)
    if second == 0x96:
        return third in (0xA0, 0xA1, 0xAA, 0xAB, 0xB6)
    return second == 0x97 and third in (0x80, 0xA6, 0x8F)


@njit(cache=True, nogil=True)
def ends_in_ellipsis(data, start, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether a line ends with "..." or U+2026."""
    if end - start < 3:
        return False
    a, b, c = data[end - 3], data[end - 2], data[end - 1]
    return (a == 46 and b == 46 and c == 46) or (a == 0xE2 and b == 0x80 and c == 0xA6)


@njit(cache=True, nogil=True)
def score_words(data, span, words, tables, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill the scores that words decide: number, mean length, symbols, alphabetic share, distinct stop words."""
    start, end, count = span
    starts, ends, lengths_before = words
    stop_words, classes_of = tables
    alphabetic, seen = 0, 0
    for i in range(count):
        first, last = letters_of(data, starts[i], ends[i], classes_of)
        alphabetic += first < last
        seen |= stop_word_bit(data, first, last, stop_words)
    distinct = 0
    while seen:
        distinct += seen & 1
        seen >>= 1
    out[0] = count
    out[6] = distinct
    if count:
        out[1] = lengths_before[count] / count
        out[2] = symbols(data, start, end) / count
        out[5] = alphabetic / count


@njit(cache=True, nogil=True)
def score_lines(data, start, end, work, tables, stamp, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill the scores that lines and paragraphs decide; the next free stamp."""
    starts, ends, lengths, hashes = work
    keys, stamps, _ = tables
    count = split_lines(data, start, end, starts, ends)
    bullets, ellipses = 0, 0
    for i in range(count):
        hashes[i], lengths[i] = hash_span(data, starts[i], ends[i])
        bullets += is_bullet(data, starts[i], ends[i])
        ellipses += ends_in_ellipsis(data, starts[i], ends[i])
    if count:
        out[3], out[4] = bullets / count, ellipses / count
    stamp += 1
    out[7], out[8] = repeated_spans(hashes, lengths, count, keys, stamps, stamp)
    count = join_paragraphs(data, count, starts, ends)
    for i in range(count):
        hashes[i], lengths[i] = hash_span(data, starts[i], ends[i])
    stamp += 1
    out[9], out[10] = repeated_spans(hashes, lengths, count, keys, stamps, stamp)
    return stamp


@njit(cache=True, nogil=True)
def score_buffers(data, offsets, stop_words, classes_of):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Scores [SCORES, documents] of the strings in an Arrow buffer."""
    rows = offsets.shape[0] - 1
    out = np.zeros((rows, 20), np.float64)
    longest = 1
    for row in range(rows):
        longest = max(longest, offsets[row + 1] - offsets[row])
    room = longest // 2 + 2  # a word or a line takes at least one byte and one to part it from the next
    slots = 16
    while slots < 2 * room:
        slots *= 2
    tables = (np.zeros(slots, np.uint64), np.zeros(slots, np.int64), np.zeros(slots, np.int64))
    starts, ends, lengths = np.zeros(room, np.int64), np.zeros(room, np.int64), np.zeros(room, np.int64)
    hashes, lengths_before = np.zeros(room, np.uint64), np.zeros(room + 1, np.int64)
    stamp = 0
    for row in range(rows):
        start, end = offsets[row], offsets[row + 1]
        stamp = score_lines(data, start, end, (starts, ends, lengths, hashes), tables, stamp, out[row])
        count = split_words(data, start, end, starts, ends, lengths, hashes)
        for i in range(count):
            lengths_before[i + 1] = lengths_before[i] + lengths[i]
        score_words(data, (start, end, count), (starts, ends, lengths_before), (stop_words, classes_of), out[row])
        stamp = ngram_shares(hashes, count, lengths_before, tables, stamp, out[row, 11:])
    return out.T.copy()


def score_documents(data: Bytes, offsets: Offsets) -> npt.NDArray[np.float64]:
    """Scores [SCORES, documents] of the strings in an Arrow buffer."""
    scores: npt.NDArray[np.float64] = score_buffers(data, offsets, packed_stop_words(), classes())
    return scores
