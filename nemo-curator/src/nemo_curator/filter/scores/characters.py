"""Shares of kinds of characters, and lengths in characters. An empty text counts as wholly at fault."""

import numpy as np
import pyarrow as pa

from ...kernels.characters import COUNTS, classes, count_characters
from ...kernels.strings import buffers
from .registry import Scores
from .resources import Resources

SCORES = {
    "characters": "characters",
    "non_alphanumeric": "share of characters beyond a-z, A-Z, 0-9, newline and ?!,.",
    "digits": "share of decimal digits of any script",
    "white_space": "share of blanks, tabs, newlines, returns and backspaces",
    "parentheses": "share of ( ) [ ] { } and mathematical angle brackets",
    "alphabetic_characters": "share of letters of any script",
    "alphanumeric_characters": "share of letters and digits of any script",
    "special_characters": "share of characters that are neither letters nor marks: blanks, digits, signs, emoji",
    "longest_word": "characters of the longest word",
    "longest_line": "characters of the longest line",
    "third_longest_line": "characters of the third longest line; 0 where there are fewer",
    "lines": "newlines and one",
    "mean_line_length": "mean characters of a line",
}


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """Every score of the family."""
    counts = dict(zip(COUNTS, count_characters(*buffers(documents["text"]), classes()), strict=True))
    length = counts["characters"]
    lines = counts["newlines"] + 1

    def share(number: Scores, *, of_nothing: float) -> Scores:
        return np.where(length > 0, number / np.maximum(length, 1), of_nothing)

    return {
        "characters": length.astype(np.float64),
        "non_alphanumeric": share(length - counts["plain"], of_nothing=1.0),
        "digits": share(counts["digits"], of_nothing=1.0),
        "white_space": share(counts["blanks"], of_nothing=1.0),
        "parentheses": share(counts["parentheses"], of_nothing=1.0),
        "alphabetic_characters": share(counts["letters"], of_nothing=0.0),
        "alphanumeric_characters": share(counts["alphanumerics"], of_nothing=0.0),
        "special_characters": share(counts["specials"], of_nothing=1.0),
        "longest_word": counts["longest_word"].astype(np.float64),
        "longest_line": counts["longest_line"].astype(np.float64),
        "third_longest_line": counts["third_longest_line"].astype(np.float64),
        "lines": lines.astype(np.float64),
        "mean_line_length": (length - counts["newlines"]) / lines,
    }
