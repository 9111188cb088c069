"""Runs of characters or words as data-juicer counts them: how often each run of so many occurs in a text."""

import numpy as np
import numpy.typing as npt

from .library import F64, I64, TEXTS, U16, U64, Number, counted, kernel
from .strings import Bytes, Offsets

Hashes = npt.NDArray[np.uint64]
HASHES = (U64, Number, I64, Number)

_character_repetition = kernel("character_repetition", *TEXTS, Number, F64)
_word_repetition = kernel("word_repetition", *HASHES, Number, F64)
_plain_words = kernel("plain_words", *TEXTS, U16, U64, I64)
_listed_words = kernel("listed_words", *HASHES, I64, Number, U64, Number, I64)


def character_repetition(data: Bytes, offsets: Offsets, width: int) -> npt.NDArray[np.float64]:
    """Per document the share of the most frequent runs of characters: as many as repeat, or the root of all."""
    out = np.empty(len(offsets) - 1, np.float64)
    _character_repetition(*counted(data, offsets), width, out)
    return out


def word_repetition(hashes: Hashes, starts: Offsets, width: int) -> npt.NDArray[np.float64]:
    """Per document the share of runs of words that occur more than once."""
    out = np.empty(len(starts) - 1, np.float64)
    _word_repetition(*counted(hashes, starts), width, out)
    return out


def plain_words(data: Bytes, offsets: Offsets, table: npt.NDArray[np.uint16]) -> tuple[Hashes, Offsets]:
    """Hashes of the words of all texts, cut at blanks, tabs and newlines and bare of signs, and where each begins."""
    rows = len(offsets) - 1
    hashes, starts = np.empty((offsets[-1] - offsets[0]) // 2 + rows, np.uint64), np.empty(rows + 1, np.int64)
    count = _plain_words(*counted(data, offsets), table, hashes, starts)
    return hashes[:count].copy(), starts


def listed_words(hashes: Hashes, starts: Offsets, rows: npt.NDArray[np.int64], listed: Hashes) -> npt.NDArray[np.int64]:
    """Of each of the documents `rows` how many of its words are among the listed ones, and how many different ones."""
    out = np.empty((2, len(rows)), np.int64)
    _listed_words(*counted(hashes, starts), rows, len(rows), listed, len(listed), out)
    return out
