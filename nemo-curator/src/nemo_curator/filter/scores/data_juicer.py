"""Words and lines as data-juicer counts them, where that is not as others do."""

import numpy as np
import pyarrow as pa

from .registry import Scores, texts_of
from .repetition import plain_words
from .resources import Resources

SCORES = {
    "data_juicer_words": "words with a letter, cut at blanks, tabs and newlines",
    "data_juicer_mean_line_length": "characters, line ends included, by lines",
    "data_juicer_longest_line": "characters of the longest line of str.splitlines",
}


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """Every score of the family."""
    rows = [score(text) for text in texts_of(documents)]
    return dict(zip(SCORES, np.array(rows, np.float64).reshape(-1, len(SCORES)).T.copy(), strict=True))


def score(text: str) -> tuple[int, float, int]:
    """The scores of one text."""
    lines = text.splitlines()
    return len(plain_words(text)), len(text) / max(len(lines), 1), max(map(len, lines), default=0)
