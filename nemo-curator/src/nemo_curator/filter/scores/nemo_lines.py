"""The scores of NeMo Curator's line, paragraph and word rules, as its release 0.9 defines them.

Lines are split at newlines, blank ones left out, the others not stripped; paragraphs are split at double newlines.
"""

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ...clean.policies import POLICY_PHRASES
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
HASHES = re.compile("#+")
END_MARKS = (".", "?", "!", '"', "'")
STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))


def compute(documents: pa.Table, _: Resources) -> dict[str, Scores]:
    """Every score of the family."""
    rows = np.array([score(text) for text in texts_of(documents)], np.float64).reshape(-1, len(SCORES))
    return dict(zip(SCORES, rows.T.copy(), strict=True))


def score(text: str) -> list[float]:
    """The scores of one text, in the order of SCORES."""
    words = text.split()
    lines = [line for line in text.split("\n") if line.strip()]
    stripped = [line.strip() for line in lines]
    paragraphs = text.split("\n\n")
    return [
        share(sum(word in ELLIPSES or is_symbol(word) for word in words), words),
        share(sum(line.startswith(BULLETS) for line in stripped), lines),
        share(sum(line.lower().endswith(ELLIPSES) for line in stripped), lines),
        float(sum(word in STOP_WORDS for word in words)),
        share(sum(not line.endswith(END_MARKS) for line in stripped), lines),
        *uniqueness(lines),
        *uniqueness(paragraphs),
        boilerplate(paragraphs),
    ]


def is_symbol(word: str) -> bool:
    """Whether runs of hash signs are more than half as many as the characters of a word."""
    return "#" in word and len(HASHES.findall(word)) > 0.5 * len(word)


def share(number: int, of: Sequence[str]) -> float:
    """`number` by the length of `of`; 0 of nothing."""
    return number / len(of) if of else 0.0


def uniqueness(parts: Sequence[str]) -> tuple[float, float]:
    """Distinct parts by parts, and their characters by those of all; 0 of nothing."""
    distinct = set(parts)
    characters = sum(map(len, parts))
    return share(len(distinct), parts), sum(map(len, distinct)) / characters if characters else 0.0


def boilerplate(paragraphs: Sequence[str]) -> float:
    """Share of paragraphs with a phrase of policies; 1 where one holds placeholder text."""
    found = 0
    for paragraph in paragraphs:
        lowered = paragraph.lower()
        if "lorem ipsum" in lowered:
            return 1.0
        found += any(phrase in lowered for phrase in POLICY_PHRASES)
    return share(found, paragraphs)
