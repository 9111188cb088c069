"""Repetition of characters and words as data-juicer measures it: over runs of ten."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import isqrt
from unicodedata import category

import numpy as np
import pyarrow as pa

from .registry import Scores, texts_of
from .resources import Resources

SCORES = {
    "character_repetition": "share of the most frequent runs of ten characters; as many as the root of their number",
    "word_repetition": "share of runs of ten words that occur more than once",
}
RUN = 10
BETWEEN_WORDS = re.compile("[ \n\t]+")


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
    """Words in lower case, cut at blanks, tabs and newlines, without signs and digits around them.

    Whatever is neither letter nor mark is a sign here; data-juicer has a list of punctuation, symbols and emoji.
    """
    return [word for each in BETWEEN_WORDS.split(text) if (word := bare(each.lower()))]


@lru_cache(maxsize=1 << 16)
def bare(word: str) -> str:
    """The word from its first letter to its last letter or mark."""
    if word.isalpha():
        return word
    first = next((i for i, c in enumerate(word) if c.isalpha()), len(word))
    last = next((i for i in range(len(word), first, -1) if category(word[i - 1])[0] in "LM"), first)
    return word[first:last]
