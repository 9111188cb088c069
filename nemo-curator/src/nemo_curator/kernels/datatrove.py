"""The numbers that datatrove's Gopher and FineWeb rules look at, as datatrove defines them, in one pass.

They differ from the paper's in what is divided by what: shares are of all characters of a text, lines are not
stripped, punctuation is a word, the most frequent n-gram counts from its first occurrence on. Words are those of
``tokens``, where datatrove asks spaCy.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from .characters import LINE_BREAK, SPACE, TERMINAL, bits_of, classes, code_point
from .repetition import extend, slot_of
from .scores import ends_in_ellipsis, packed_stop_words
from .strings import Bytes, Offsets
from .tokens import SYMBOL, WITH_LETTER, split_tokens
from .words import hash_span

SHORT_LINE = 30
SCORES = (
    "datatrove_words",
    "datatrove_mean_word_length",
    "datatrove_symbols_per_word",
    "datatrove_bullet_lines",
    "datatrove_ellipsis_lines",
    "datatrove_alphabetic_words",
    "datatrove_stop_words",
    "datatrove_duplicate_lines",
    "datatrove_duplicate_line_characters",
    "datatrove_duplicate_paragraphs",
    "datatrove_duplicate_paragraph_characters",
    "datatrove_top_2_gram",
    "datatrove_top_3_gram",
    "datatrove_top_4_gram",
    *(f"datatrove_duplicate_{n}_grams" for n in range(5, 11)),
    "punctuated_lines",
    "short_lines",
    "repeated_line_characters",
    "newlines_per_word",
)


@njit(cache=True, nogil=True)
def strip_span(data, start, end, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The span without white space at its ends, as ``str.strip`` has it; start = end where nothing is left."""
    first, last, i = end, start, start
    while i < end:
        code, step = code_point(data, i, end)
        if not bits_of(code, table) & SPACE:
            first, last = min(first, i), i + step
        i += step
    return (first, last) if first < last else (start, start)


@njit(cache=True, nogil=True)
def ends_sentence(data, start, end, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether the last character of a span ends a sentence."""
    i = end - 1
    while i > start and (data[i] & 0xC0) == 0x80:
        i -= 1
    return end > start and (bits_of(code_point(data, i, end)[0], table) & TERMINAL) != 0


@njit(cache=True, nogil=True)
def score_split_lines(data, start, end, table, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Shares of the lines of ``str.splitlines`` that begin with a bullet, and that end in an ellipsis."""
    lines, bullets, ellipses, first, i = 0, 0, 0, start, start
    while i <= end:
        code, step = code_point(data, i, end) if i < end else (np.int64(10), 1)
        if not bits_of(code, table) & LINE_BREAK:
            i += step
            continue
        if i < end or first < end:
            low, high = strip_span(data, first, i, table)
            lines += 1
            if low < high:
                bullets += data[low] == 45 or code_point(data, low, high)[0] == 0x2022
                ellipses += ends_in_ellipsis(data, low, high)
        if code == 13 and i + 1 < end and data[i + 1] == 10:
            step = 2
        i += step
        first = i
    if lines:
        out[3], out[4] = bullets / lines, ellipses / lines


@njit(cache=True, nogil=True)
def repeated_parts(data, span, at_least, tables, stamp, keep_blank, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Parts between runs of newlines: their number, repeats of earlier ones and the characters of those."""
    keys, stamps, _ = tables
    start, end = span
    parts, repeats, characters, first, i = 0, 0, 0, start, start
    while i <= end:
        run = 0
        while i + run < end and data[i + run] == 10:
            run += 1
        if i < end and run < at_least:
            i += max(run, 1)
            continue
        value, length = hash_span(data, first, i)
        low, high = strip_span(data, first, i, table) if not keep_blank else (0, 1)
        if low < high:
            slot = slot_of(keys, stamps, stamp, value)
            parts += 1
            if stamps[slot] == stamp:
                repeats, characters = repeats + 1, characters + length
            stamps[slot], keys[slot] = stamp, value
        if i == end:
            break
        i += run
        first = i
    return parts, repeats, characters


@njit(cache=True, nogil=True)
def score_lines(data, start, end, table, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Shares of lines with a mark at their end and of short ones; the newlines and characters of the text."""
    lines, punctuated, short, newlines, characters, first, length = 0, 0, 0, 0, 0, start, 0
    for i in range(start, end + 1):
        if i < end and data[i] != 10:
            length += (data[i] & 0xC0) != 0x80
            continue
        low, high = strip_span(data, first, i, table)
        if low < high:
            lines += 1
            punctuated += ends_sentence(data, first, i, table)
            short += length <= SHORT_LINE
        newlines += i < end
        characters += length + (i < end)
        first, length = i + 1, 0
    if lines:
        out[20], out[21] = punctuated / lines, short / lines
    return newlines, characters


@njit(cache=True, nogil=True)
def score_repeats(data, start, end, table, tables, stamp, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill the scores of repeated lines and paragraphs; the newlines and characters of the text."""
    newlines, characters = score_lines(data, start, end, table, out)
    parts, repeats, repeated = repeated_parts(data, (start, end), 1, tables, stamp + 1, True, table)
    out[7], out[8] = repeats / max(parts, 1), repeated / max(characters, 1)
    whole = strip_span(data, start, end, table)
    parts, repeats, repeated = repeated_parts(data, whole, 2, tables, stamp + 2, True, table)
    out[9], out[10] = repeats / max(parts, 1), repeated / max(characters, 1)
    parts, repeats, repeated = repeated_parts(data, (start, end), 1, tables, stamp + 3, False, table)
    out[22] = repeated / max(characters - newlines, 1)
    return newlines, characters


@njit(cache=True, nogil=True)
def symbol_shares(data, start, end, words):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hash signs, or ellipses, by words; the larger."""
    hashes, ellipses, dots = 0, 0, 0
    for i in range(start, end):
        c = data[i]
        hashes += c == 35
        dots = dots + 1 if c == 46 else 0
        if dots == 3:
            ellipses, dots = ellipses + 1, 0
        ellipses += c == 0xA6 and i - start >= 2 and data[i - 1] == 0x80 and data[i - 2] == 0xE2
    return max(hashes, ellipses) / words


@njit(cache=True, nogil=True)
def exact_stop_word(data, start, end, stop_words):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The bit of the stop word that a token is, letter by letter; or 0."""
    if end - start > 4:
        return 0
    packed = np.uint64(0)
    for i in range(end - 1, start - 1, -1):
        packed = (packed << np.uint64(8)) | np.uint64(data[i])
    for k in range(stop_words.shape[0]):
        if stop_words[k] == packed:
            return 1 << k
    return 0


@njit(cache=True, nogil=True)
def score_tokens(data, span, tokens, stop_words, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill the scores that single words decide."""
    start, end, count = span
    starts, ends, lengths, kinds = tokens
    plain, total, alphabetic, seen = 0, 0, 0, 0
    for i in range(count):
        if kinds[i] != SYMBOL:
            plain, total = plain + 1, total + lengths[i]
        alphabetic += kinds[i] == WITH_LETTER
        seen |= exact_stop_word(data, starts[i], ends[i], stop_words)
    distinct = 0
    while seen:
        distinct, seen = distinct + (seen & 1), seen >> 1
    out[0], out[6] = plain, distinct
    out[1] = total / plain if plain else 0.0
    if count:
        out[2] = symbol_shares(data, start, end, count)
        out[5] = alphabetic / count


@njit(cache=True, nogil=True)
def top_gram(grams, n, count, before, tables, stamp):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Characters of the most frequent n-gram, blanks between its words included, times its occurrences."""
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
            return often * (before[i + n] - before[i] + n - 1)
    return 0


@njit(cache=True, nogil=True)
def repeated_grams(grams, n, count, before, tables, stamp):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Characters of n-grams that occurred before, none counted twice: behind one the search goes on after it."""
    keys, stamps, _ = tables
    repeated, i = 0, 0
    while i < count - n + 1:
        slot = slot_of(keys, stamps, stamp, grams[i])
        if stamps[slot] == stamp:
            repeated += before[i + n] - before[i]
            i += n
        else:
            stamps[slot], keys[slot] = stamp, grams[i]
            i += 1
    return repeated


@njit(cache=True, nogil=True)
def score_grams(hashes, count, before, characters, tables, stamp, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill the n-gram scores."""
    grams = hashes[:count].copy()
    for n in range(2, min(10, count) + 1):
        extend(grams, hashes, n, count)
        stamp += 1
        if n <= 4:
            found = top_gram(grams, n, count, before, tables, stamp)
        else:
            found = repeated_grams(grams, n, count, before, tables, stamp)
        out[n + 9] = found / characters


@njit(cache=True, nogil=True)
def score_buffers(data, offsets, stop_words, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Scores [SCORES, documents] of the strings in an Arrow buffer."""
    rows = offsets.shape[0] - 1
    out = np.zeros((rows, 24), np.float64)
    room = np.int64(2)
    for row in range(rows):
        room = max(room, offsets[row + 1] - offsets[row] + 1)
    slots = 16
    while slots < 2 * room:
        slots *= 2
    tables = (np.zeros(slots, np.uint64), np.zeros(slots, np.int64), np.zeros(slots, np.int64))
    starts, ends, lengths = np.zeros(room, np.int64), np.zeros(room, np.int64), np.zeros(room, np.int64)
    hashes, kinds, before = np.zeros(room, np.uint64), np.zeros(room, np.int64), np.zeros(room + 1, np.int64)
    for row in range(rows):
        start, end, stamp = offsets[row], offsets[row + 1], 16 * row
        score_split_lines(data, start, end, table, out[row])
        newlines, characters = score_repeats(data, start, end, table, tables, stamp, out[row])
        count = split_tokens(data, (start, end), table, starts, ends, lengths, hashes, kinds)
        for i in range(count):
            before[i + 1] = before[i] + lengths[i]
        score_tokens(data, (start, end, count), (starts, ends, lengths, kinds), stop_words, out[row])
        score_grams(hashes, count, before, max(characters, 1), tables, stamp + 3, out[row])
        out[row, 23] = newlines / max(count, 1)
    return out.T.copy()


def score_documents(data: Bytes, offsets: Offsets) -> npt.NDArray[np.float64]:
    """Scores [SCORES, documents] of the strings in an Arrow buffer."""
    scores: npt.NDArray[np.float64] = score_buffers(data, offsets, packed_stop_words(), classes())
    return scores
