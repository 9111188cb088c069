"""Words and lines as data-juicer counts them, where that is not as others do."""

import numpy as np
import pyarrow as pa

from .plain_words import words_of
from .registry import Scores, texts_of
from .resources import Resources

SCORES = {
    "data_juicer_words": "words with a letter, cut at blanks, tabs and newlines",
    "data_juicer_mean_line_length": "characters, line ends included, by lines",
    "data_juicer_longest_line": "characters of the longest line of str.splitlines",
}


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """Every score of the family."""
    texts = texts_of(documents)
    lines = np.array([of_lines(text) for text in texts], np.float64).reshape(-1, 2)
    words = np.diff(words_of(texts)[1]).astype(np.float64)
    return dict(zip(SCORES, (words, *lines.T.copy()), strict=True))


def of_lines(text: str) -> tuple[float, int]:
    """Mean and greatest length of the lines of one text."""
    lines = text.splitlines()
    return len(text) / max(len(lines), 1), max(map(len, lines), default=0)
