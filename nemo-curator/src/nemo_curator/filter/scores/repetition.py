"""Repetition of characters and words as data-juicer measures it: over runs of ten."""

import pyarrow as pa

from ...kernels.runs import character_repetition, word_repetition
from ...kernels.strings import buffers
from .plain_words import words_of
from .registry import Scores, texts_of
from .resources import Resources

SCORES = {
    "character_repetition": "share of the most frequent runs of ten characters; as many as the root of their number",
    "word_repetition": "share of runs of ten words that occur more than once",
}
RUN = 10


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """Both scores; equal 64-bit hashes count as equal runs."""
    hashes, starts = words_of(texts_of(documents))
    return {
        "character_repetition": character_repetition(*buffers(documents["text"]), RUN),
        "word_repetition": word_repetition(hashes, starts, RUN),
    }
