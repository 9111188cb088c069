"""All numbers that the Gopher rules look at, for every document, in one pass over the text.

Shares of repetition are of characters in words (n-grams) or in stripped lines and paragraphs. Equal hashes (64 bits)
count as equal text.
"""

import numpy as np
import numpy.typing as npt

from .characters import classes
from .library import F64, TEXTS, U16, U64, counted, kernel
from .strings import Bytes, Offsets

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


def packed_stop_words() -> npt.NDArray[np.uint64]:
    """Each stop word as its ASCII bytes in one integer."""
    return np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS], np.uint64)


_score = kernel("score_gopher", *TEXTS, U64, U16, F64)


def score_documents(data: Bytes, offsets: Offsets) -> npt.NDArray[np.float64]:
    """Scores [SCORES, documents] of the strings in an Arrow buffer."""
    out = np.empty((len(SCORES), len(offsets) - 1), np.float64)
    _score(*counted(data, offsets), packed_stop_words(), classes(), out)
    return out
