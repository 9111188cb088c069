"""The numbers that datatrove's Gopher and FineWeb rules look at, as datatrove defines them, in one pass.

They differ from the paper's in what is divided by what: shares are of all characters of a text, lines are not
stripped, punctuation is a word, the most frequent n-gram counts from its first occurrence on. Words are those of
``tokens``, where datatrove asks spaCy.
"""

import numpy as np
import numpy.typing as npt

from .characters import classes
from .library import F64, TEXTS, U16, U64, counted, kernel
from .scores import packed_stop_words
from .strings import Bytes, Offsets

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


_score = kernel("score_datatrove", *TEXTS, U64, U16, F64)


def score_documents(data: Bytes, offsets: Offsets) -> npt.NDArray[np.float64]:
    """Scores [SCORES, documents] of the strings in an Arrow buffer."""
    out = np.empty((len(SCORES), len(offsets) - 1), np.float64)
    _score(*counted(data, offsets), packed_stop_words(), classes(), out)
    return out
