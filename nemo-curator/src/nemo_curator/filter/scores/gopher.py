"""The scores of Gopher's rules (Rae et al. 2021): words are cut at white space; n-grams count from the second on."""

import pyarrow as pa

from ...kernels import scores as kernel
from ...kernels.strings import buffers
from .registry import Scores
from .resources import Resources

SCORES = {
    "words": "words, cut at white space",
    "mean_word_length": "mean length of the words in characters",
    "symbols_per_word": "hash signs, or ellipses, per word; the larger",
    "bullet_lines": "share of lines that begin with a bullet",
    "ellipsis_lines": "share of lines that end in an ellipsis",
    "alphabetic_words": "share of words with a letter",
    "stop_words": "how many of the, be, to, of, and, that, have, with occur",
    "duplicate_lines": "share of lines that repeat an earlier one",
    "duplicate_line_characters": "share of characters in such lines",
    "duplicate_paragraphs": "share of paragraphs that repeat an earlier one",
    "duplicate_paragraph_characters": "share of characters in such paragraphs",
    **{f"top_{n}_gram": f"share of characters in the {n} words that fill most of the text" for n in (2, 3, 4)},
    **{f"duplicate_{n}_grams": f"share of characters in repeats of {n} words" for n in range(5, 11)},
}


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """Every score of the family."""
    return dict(zip(kernel.SCORES, kernel.score_documents(*buffers(documents["text"])), strict=True))
