"""The scores of NeMo Curator's line, paragraph and word rules, as its release 0.9 defines them.

Lines are split at newlines, blank ones left out, the others not stripped; paragraphs are split at double newlines.
"""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from ...clean.policies import POLICY_PHRASES
from ...kernels.lines import COUNTS, count_lines, joined, packed
from ...kernels.strings import buffers
from .registry import Scores, texts_of
from .resources import Resources

SCORES = {
    "nemo_symbols_per_word": "share of words that are ellipses, or mostly hash signs",
    "nemo_bullet_lines": "share of lines that begin with one of twelve bullets; hyphens are none",
    "nemo_ellipsis_lines": 'share of lines that end in an ellipsis of any kind or "read more"',
    "nemo_stop_words": "occurrences of the, be, to, of, and, that, have, with in lower case",
    "lines_without_end_mark": "share of lines that end with none of . ? ! and straight quotes",
    "unique_lines": "distinct lines by lines",
    "unique_line_characters": "characters of distinct lines by those of all",
    "unique_paragraphs": "distinct paragraphs by paragraphs",
    "unique_paragraph_characters": "characters of distinct paragraphs by those of all",
    "boilerplate_paragraphs": "share of paragraphs with a cookie or policy phrase; 1 where there is lorem ipsum",
}
BULLETS = tuple("\u2022\u2023\u2043\u204c\u204d\u2219\u25cb\u25cf\u25d8\u25e6\u29be\u29bf")
ELLIPSES = ("...", "[...]", "\u2026", "(...)", "[\u2026]", "-\u00bb", "read more..", "read more")
END_MARKS = (".", "?", "!", '"', "'")
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
PLACEHOLDER = "lorem ipsum"
HINTS = ("cookie", "privacy", "terms of use")  # each policy phrase holds one; few texts do


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """Every score of the family; equal 64-bit hashes count as equal lines and paragraphs."""
    texts = texts_of(documents)
    counts = dict(zip(COUNTS, count_lines(*buffers(documents["text"]), *marks()), strict=True))

    def share(number: str, of: str) -> Scores:
        return np.asarray(counts[number] / np.maximum(counts[of], 1))

    return {
        "nemo_symbols_per_word": share("symbols", "words"),
        "nemo_bullet_lines": share("bullets", "lines"),
        "nemo_ellipsis_lines": share("ellipses", "lines"),
        "nemo_stop_words": counts["stop_words"].astype(np.float64),
        "lines_without_end_mark": share("unended", "lines"),
        "unique_lines": share("distinct_lines", "lines"),
        "unique_line_characters": share("distinct_line_characters", "line_characters"),
        "unique_paragraphs": share("distinct_paragraphs", "paragraphs"),
        "unique_paragraph_characters": share("distinct_paragraph_characters", "paragraph_characters"),
        "boilerplate_paragraphs": np.array([boilerplate(text) for text in texts], np.float64),
    }


@cache
def marks() -> tuple[Any, ...]:
    """What the kernel looks for: symbols and stop words, bullets, end marks and ellipses."""
    symbols = [ellipsis for ellipsis in ELLIPSES if " " not in ellipsis]
    return (*map(packed, (symbols, STOP_WORDS, BULLETS, END_MARKS)), *joined(ELLIPSES))


def boilerplate(text: str) -> float:
    """Share of paragraphs with a phrase of policies; 1 where one holds placeholder text."""
    lowered = text.lower()
    if PLACEHOLDER in lowered:
        return 1.0
    if not any(hint in lowered for hint in HINTS):
        return 0.0
    paragraphs = lowered.split("\n\n")
    return sum(map(has_phrase, paragraphs)) / len(paragraphs)


def has_phrase(lowered: str) -> bool:
    """Whether a text in lower case holds a phrase of policies."""
    return any(phrase in lowered for phrase in POLICY_PHRASES)
