"""Repetition of characters and words as data-juicer measures it: over runs of ten."""

from collections import Counter
from collections.abc import Sequence
from math import isqrt

import numpy as np
import pyarrow as pa

from .registry import Scores, texts_of
from .resources import Resources

SCORES = {
    "character_repetition": "share of the most frequent runs of ten characters; as many as the root of their number",
    "word_repetition": "share of runs of ten words that occur more than once",
}
RUN = 10
STRIPPED = " \t\n.,;:!?\"'()[]{}<>*#-_/\\|`~\u2026\u2013\u2014\u2018\u2019\u201c\u201d"


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """Both scores."""
    texts = texts_of(documents)
    return {
        "character_repetition": np.array([of_characters(text) for text in texts], np.float64),
        "word_repetition": np.array([of_words(text) for text in texts], np.float64),
    }


def of_characters(text: str) -> float:
    """Occurrences of the most frequent runs by those of all; at most as many runs as repeat, or the root of all."""
    counts = sorted(Counter(text[i : i + RUN] for i in range(len(text) - RUN + 1)).values(), reverse=True)
    if not counts:
        return 0.0
    once = sum(count == 1 for count in counts)
    return sum(counts[: min(isqrt(len(counts)), len(counts) - once)]) / sum(counts)


def of_words(text: str) -> float:
    """Occurrences of runs of words that repeat by those of all."""
    return repeated(plain_words(text))


def repeated(words: Sequence[str]) -> float:
    """Share of n-grams that occur more than once."""
    counts = Counter(tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1))
    return sum(count for count in counts.values() if count > 1) / counts.total() if counts else 0.0


def plain_words(text: str) -> list[str]:
    """Words in lower case without signs around them."""
    return [word for each in text.lower().split() if (word := each.strip(STRIPPED))]
