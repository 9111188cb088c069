"""The scores of Gopher's rules as datatrove computes them, and those of FineWeb's own rules."""

import pyarrow as pa

from ...kernels import datatrove as kernel
from ...kernels.strings import buffers
from . import gopher
from .registry import Scores
from .resources import Resources

SCORES = {
    **{f"datatrove_{name}": f"{about} (datatrove's definition)" for name, about in gopher.SCORES.items()},
    "punctuated_lines": "share of lines whose last character ends a sentence",
    "short_lines": "share of lines of at most 30 characters",
    "repeated_line_characters": "characters of lines that repeat an earlier one, by all but newlines",
    "newlines_per_word": "newlines by words, punctuation being words",
}


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """Every score of the family."""
    return dict(zip(kernel.SCORES, kernel.score_documents(*buffers(documents["text"])), strict=True))
