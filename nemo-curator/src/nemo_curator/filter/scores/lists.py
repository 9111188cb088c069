"""Shares of words that are on a list (data-juicer's flagged words and stop words)."""

import numpy as np
import pyarrow as pa

from .registry import Scores, texts_of
from .repetition import plain_words
from .resources import Resources, english_stop_words, read_words

SCORES = {
    "flagged_words": "share of words on your list `flagged_words`; 0 without one",
    "stop_word_share": "share of words on your list `stop_words`, or among 155 English ones",
}


def compute(documents: pa.Table, resources: Resources) -> dict[str, Scores]:
    """Both scores."""
    flagged = read_words(resources.flagged_words) if resources.flagged_words else frozenset()
    stop = read_words(resources.stop_words) if resources.stop_words else english_stop_words()
    words = [plain_words(text) for text in texts_of(documents)]
    return {
        "flagged_words": np.array([share(each, flagged) for each in words], np.float64),
        "stop_word_share": np.array([share(each, stop) for each in words], np.float64),
    }


def share(words: list[str], of: frozenset[str]) -> float:
    """Share of words that are in `of`; 0 where there are none."""
    return sum(word in of for word in words) / len(words) if words and of else 0.0
