"""Lines, sentences, paragraphs and words of a text as spans, and hashes of windows of them or of bytes."""

import numpy as np
from numba import njit

from .shingles import BASE, power
from .words import hash_span, join_paragraphs, mix, space_length, split_lines, split_words

LINES, SENTENCES, PARAGRAPHS, WORDS = 0, 1, 2, 3


@njit(cache=True, nogil=True)
def mark_length(data, i, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Bytes of the mark at `i` that ends a sentence, 0 where there is none."""
    c = data[i]
    if c in (46, 33, 63):
        return 1
    if i + 2 >= end:
        return 0
    if c == 0xE3 and data[i + 1] == 0x80 and data[i + 2] == 0x82:
        return 3  # ideographic full stop
    if c == 0xEF and data[i + 1] == 0xBC and data[i + 2] in (0x81, 0x9F):
        return 3  # full-width ! and ?
    return 0


@njit(cache=True, nogil=True)
def closing_length(data, i, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Bytes of the quotation mark or bracket at `i` that may close a sentence, 0 where there is none."""
    c = data[i]
    if c in (34, 39, 41, 93):
        return 1
    if i + 2 < end and c == 0xE2 and data[i + 1] == 0x80 and data[i + 2] in (0x99, 0x9D):
        return 3
    if i + 1 < end and c == 0xC2 and data[i + 1] == 0xBB:
        return 2
    return 0


@njit(cache=True, nogil=True)
def sentence_end(data, i, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Where the sentence that has an end mark at `i` ends, 0 where it goes on.

    Latin marks end it only before white space; those of Chinese and Japanese always do.
    """
    wide = data[i] >= 0x80
    while i < end and mark_length(data, i, end):
        i += mark_length(data, i, end)
    while i < end and closing_length(data, i, end):
        i += closing_length(data, i, end)
    return i if wide or i == end or space_length(data, i, end) else 0


@njit(cache=True, nogil=True)
def split_sentences(data, start, end, starts, ends):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill the arrays with the sentences of ``data[start:end]``, which end at end marks and newlines; their number."""
    count, i = 0, start
    while i < end:
        step = space_length(data, i, end)
        if step:
            i += step
            continue
        first, last = i, i
        while i < end and data[i] != 10:
            stop = sentence_end(data, i, end) if mark_length(data, i, end) else 0
            if stop:
                i = last = stop
                break
            if space_length(data, i, end) == 0:
                last = i + 1
            i += 1
        starts[count], ends[count] = first, last
        count += 1
    return count


@njit(cache=True, nogil=True)
def split(data, start, end, unit, starts, ends):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill the arrays with the lines, sentences or paragraphs of ``data[start:end]``; their number."""
    if unit == SENTENCES:
        return split_sentences(data, start, end, starts, ends)
    count = split_lines(data, start, end, starts, ends)
    return join_paragraphs(data, count, starts, ends) if unit == PARAGRAPHS else count


@njit(cache=True, nogil=True)
def unit_windows(data, offsets, unit, width, least):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hash, document, first byte and end of every window of `width` units that spans `least` bytes or more.

    A window ends where the next unit begins, so that cutting it out leaves no gap. Bytes are counted in the document.
    """
    room = (offsets[-1] - offsets[0]) // 2 + offsets.shape[0]  # no unit is without a byte between it and the next
    hashes = np.empty(room, np.uint64)
    places = np.empty((3, room), np.int32)
    starts, ends, lengths = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    codes = np.empty(room, np.uint64)
    leaving = power(width)
    total = 0
    for row in range(offsets.shape[0] - 1):
        first, last = offsets[row], offsets[row + 1]
        if unit == WORDS:
            count = split_words(data, first, last, starts, ends, lengths, codes)
        else:
            count = split(data, first, last, unit, starts, ends)
            for i in range(count):
                codes[i] = hash_span(data, starts[i], ends[i])[0]
        value = np.uint64(0)
        for i in range(count):
            value = value * BASE + codes[i]
            if i >= width:
                value -= leaving * codes[i - width]
            begin = i - width + 1
            if begin < 0 or ends[i] - starts[begin] < least:
                continue
            hashes[total] = mix(value)
            places[0, total] = row
            places[1, total] = starts[begin] - first
            places[2, total] = (starts[i + 1] if i + 1 < count else last) - first
            total += 1
    return hashes[:total], places[:, :total]


@njit(cache=True, nogil=True)
def byte_windows(data, start, end, width, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hash every window of `width` bytes of ``data[start:end]`` into `out`; their number, 0 in a shorter text."""
    leaving = power(width)
    value, count = np.uint64(0), 0
    for i in range(start, end):
        value = value * BASE + (np.uint64(data[i]) + np.uint64(1))
        if i - start >= width:
            value -= leaving * (np.uint64(data[i - width]) + np.uint64(1))
        if i - start >= width - 1:
            out[count] = mix(value)
            count += 1
    return count


@njit(cache=True, nogil=True)
def mixed(values):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Other values for the same, each bit of which depends on all bits; different ones stay different."""
    out = np.empty(values.shape[0], np.uint64)
    for i in range(values.shape[0]):
        out[i] = mix(values[i])
    return out


@njit(cache=True, nogil=True)
def minima_of(values, count, width, queue, least, places):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The least of every `width` neighbouring values and the place of its first occurrence; how many there are."""
    head, tail = 0, 0
    for i in range(count):
        while tail > head and values[queue[tail - 1]] > values[i]:
            tail -= 1
        queue[tail] = i
        tail += 1
        if queue[head] <= i - width:
            head += 1
        if i >= width - 1:
            least[i - width + 1], places[i - width + 1] = values[queue[head]], queue[head]
    return max(0, count - width + 1)


@njit(cache=True, nogil=True)
def minimizers(data, offsets, width, gram):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """For every window of `width` bytes of all texts: the least hash of its `gram`-byte parts, and where that is.

    Equal windows have equal minimizers (Schleimer, Wilkerson, Aiken 2003), and only about two places of
    width - gram + 2 hold one. Also where each text's windows begin.
    """
    rows = offsets.shape[0] - 1
    room = offsets[-1] - offsets[0] + 1
    least, places = np.empty(room, np.uint64), np.empty(room, np.int64)
    starts = np.zeros(rows + 1, np.int64)
    grams, queue = np.empty(room, np.uint64), np.empty(room, np.int64)
    for row in range(rows):
        count = byte_windows(data, offsets[row], offsets[row + 1], gram, grams)
        at = starts[row]
        found = minima_of(grams, count, width - gram + 1, queue, least[at:], places[at:])
        for i in range(at, at + found):
            places[i] += offsets[row]
        starts[row + 1] = at + found
    return least[: starts[rows]], places[: starts[rows]], starts


@njit(cache=True, nogil=True)
def chosen_windows(data, offsets, width, starts, chosen):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Hash, document, first byte and end of the windows of `width` bytes that are chosen (one flag per window)."""
    total = chosen.sum()
    hashes, places = np.empty(total, np.uint64), np.empty((3, total), np.int32)
    room = np.empty(offsets[-1] - offsets[0] + 1, np.uint64)
    at = 0
    for row in range(offsets.shape[0] - 1):
        count = starts[row + 1] - starts[row]
        if not chosen[starts[row] : starts[row + 1]].any():
            continue
        byte_windows(data, offsets[row], offsets[row + 1], width, room)
        for i in range(count):
            if chosen[starts[row] + i]:
                hashes[at] = room[i]
                places[0, at], places[1, at], places[2, at] = row, i, i + width
                at += 1
    return hashes, places
