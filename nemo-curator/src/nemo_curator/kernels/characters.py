"""Classes of characters, and what every document has of them: one pass over UTF-8 bytes.

A class is a bit; tables come from Python's own Unicode data, so that a kernel agrees with ``str.isalpha`` and the rest.
"""

import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt
from numba import njit

LETTER, DIGIT, NUMERIC, SPACE, MARK, LINE_BREAK, TERMINAL, PLAIN, SIGN = (1 << bit for bit in range(9))
SUPPLEMENTARY_IDEOGRAPHS = 0x20000  # letters from here on, and nothing else but what has no class
TABLE_SIZE = 0x33500
LINE_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
PLAIN_PUNCTUATION = "\n?!,."

# What datatrove takes for punctuation: ASCII's, and these; bullets and arrows, for one, are words to it.
SIGNS = frozenset(
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u00ab\u00b4\u00bb\u2013\u2014\u2019\u201c\u201d\u201e\u2026\u2236\u2501\u25ba"
    "\u3001\u3002\u3008\u3009\u300a\u300b\u300c\u300d\u3010\u3011\uff01\uff05\uff08\uff09\uff0c\uff0e\uff1a\uff1b\uff1f\uff5e"
)

# Characters that end a sentence: the Unicode property Sentence_Terminal in the scripts of living languages.
TERMINALS = (
    "!.?\u0589\u061d\u061e\u061f\u06d4\u0700\u0701\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u104a\u104b"
    "\u1362\u1367\u1368\u166e\u1735\u1736\u17d4\u17d5\u1803\u1809\u1944\u1945\u1aa8\u1aa9\u1aaa\u1aab\u1b5a\u1b5b"
    "\u1b5e\u1b5f\u1b7d\u1b7e\u1c3b\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047\u2048\u2049\u2e2e\u2e3c\u2e53\u2e54\u3002"
    "\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d\uaa5e\uaa5f\uaaf0\uaaf1\uabeb"
    "\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
)

COUNTS = (
    "characters",
    "letters",
    "alphanumerics",
    "digits",
    "plain",
    "blanks",
    "parentheses",
    "specials",
    "newlines",
    "longest_word",
    "longest_line",
    "third_longest_line",
)


@cache
def classes() -> npt.NDArray[np.uint16]:
    """The class bits of every code point below TABLE_SIZE."""
    table = np.zeros(TABLE_SIZE, np.uint16)
    for code in range(SUPPLEMENTARY_IDEOGRAPHS):
        table[code] = class_of(chr(code))
    ideographs = [chr(code).isalpha() for code in range(SUPPLEMENTARY_IDEOGRAPHS, TABLE_SIZE)]
    table[SUPPLEMENTARY_IDEOGRAPHS:][ideographs] = LETTER | NUMERIC
    return table


def class_of(character: str) -> int:
    """The class bits of one character."""
    bits = LETTER * character.isalpha() | DIGIT * character.isdecimal() | NUMERIC * character.isalnum()
    bits |= SPACE * character.isspace() | LINE_BREAK * (character in LINE_BREAKS) | TERMINAL * (character in TERMINALS)
    bits |= PLAIN * ((character.isascii() and character.isalnum()) or character in PLAIN_PUNCTUATION)
    bits |= SIGN * (character in SIGNS or unicodedata.category(character) == "Cc")
    return bits | (MARK if unicodedata.category(character)[0] == "M" else 0)


@njit(cache=True, nogil=True)
def code_point(data, i, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The code point that begins at `i`, and its bytes."""
    c = np.int64(data[i])
    if c < 0x80:
        return c, 1
    if c < 0xE0 and i + 1 < end:
        return ((c & 0x1F) << 6) | (data[i + 1] & 0x3F), 2
    if c < 0xF0 and i + 2 < end:
        return ((c & 0x0F) << 12) | ((data[i + 1] & 0x3F) << 6) | (data[i + 2] & 0x3F), 3
    if i + 3 < end:
        low = ((data[i + 2] & 0x3F) << 6) | (data[i + 3] & 0x3F)
        return ((c & 0x07) << 18) | ((data[i + 1] & 0x3F) << 12) | low, 4
    return np.int64(0xFFFD), 1


@njit(cache=True, nogil=True)
def bits_of(code, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The class bits of a code point; beyond the table there are none."""
    return np.int64(table[code]) if code < TABLE_SIZE else np.int64(0)


@njit(cache=True, nogil=True)
def is_parenthesis(code):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether it is one of ( ) [ ] { } U+27E8 U+27E9."""
    return code in (40, 41, 91, 93, 123, 125, 0x27E8, 0x27E9)


@njit(cache=True, nogil=True)
def note_line(length, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Keep the lengths of the three longest lines, longest first."""
    if length > out[0]:
        out[2], out[1], out[0] = out[1], out[0], length
    elif length > out[1]:
        out[2], out[1] = out[1], length
    elif length > out[2]:
        out[2] = length


@njit(cache=True, nogil=True)
def count_classes(data, start, end, table, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill COUNTS of one text but the longest lines; those go through `lines`, longest first."""
    lines = np.zeros(3, np.int64)
    word, line, i = 0, 0, start
    while i < end:
        code, step = code_point(data, i, end)
        bits = bits_of(code, table)
        i += step
        out[0] += 1
        out[1] += (bits & LETTER) != 0
        out[2] += (bits & NUMERIC) != 0
        out[3] += (bits & DIGIT) != 0
        out[4] += (bits & PLAIN) != 0
        out[5] += code == 32 or code == 10 or code == 9 or code == 13 or code == 8
        out[6] += is_parenthesis(code)
        out[7] += (bits & (LETTER | MARK)) == 0
        word = 0 if bits & SPACE else word + 1
        out[9] = max(out[9], word)
        if code == 10:
            out[8] += 1
            note_line(line, lines)
            line = 0
        else:
            line += 1
    note_line(line, lines)
    out[10], out[11] = lines[0], lines[2] if out[8] >= 2 else 0


@njit(cache=True, nogil=True)
def count_characters(data, offsets, table):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """COUNTS [12, documents] of the strings in an Arrow buffer."""
    rows = offsets.shape[0] - 1
    out = np.zeros((rows, 12), np.int64)
    for row in range(rows):
        count_classes(data, offsets[row], offsets[row + 1], table, out[row])
    return out.T.copy()
