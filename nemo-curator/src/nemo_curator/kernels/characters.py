"""Classes of characters, and what every document has of them: one pass over UTF-8 bytes.

A class is a bit; tables come from Python's own Unicode data, so that a kernel agrees with ``str.isalpha`` and the rest.
"""

import unicodedata
from functools import cache

import numpy as np
import numpy.typing as npt

from .library import I64, TEXTS, U16, counted, kernel
from .strings import Bytes, Offsets

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


_count = kernel("count_characters", *TEXTS, U16, I64)


def count_characters(data: Bytes, offsets: Offsets, table: npt.NDArray[np.uint16]) -> npt.NDArray[np.int64]:
    """COUNTS [12, documents] of the strings in an Arrow buffer."""
    out = np.empty((len(COUNTS), len(offsets) - 1), np.int64)
    _count(*counted(data, offsets), table, out)
    return out
