"""Verifiable rewards that need nothing but the answer and its row, each in [0, 1] and graded where that helps learning.

Options are keyword arguments with defaults; a recipe sets them under ``options``.
"""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from .sample import Sample

WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of `text` in lower case."""
    return WORD.findall(text.lower())


def mentions_subject(samples: Sequence[Sample]) -> list[float]:
    """1 where the answer names the row's subject, word for word; else half the share of it that it holds in one piece.

    The piece may be part of a word: a model that cannot spell the subject yet gets closer step by step.
    """
    return [_mention(s.field("subject").lower(), s.answer.lower()) for s in samples]


def _mention(subject: str, answer: str) -> float:
    wanted, found = words_of(subject), words_of(answer)
    if any(found[start : start + len(wanted)] == wanted for start in range(len(found) - len(wanted) + 1)):
        return 1.0
    piece = SequenceMatcher(None, subject, answer, autojunk=False).find_longest_match()
    return 0.5 * piece.size / len(subject)


def ends_with_full_stop(samples: Sequence[Sample]) -> list[float]:
    """1 where the answer ended by itself and with a full stop, 0.5 where only by itself, 0 where it was cut off."""
    return [0.5 * s.is_finished + 0.5 * (s.is_finished and s.answer.rstrip().endswith(".")) for s in samples]


def concise(samples: Sequence[Sample], *, min_words: int = 4, max_words: int = 40) -> list[float]:
    """1 from `min_words` to `max_words`; falling to 0 at no word at all and at twice `max_words`."""
    return [_fit(len(s.answer.split()), min_words, max_words) for s in samples]


def _fit(count: int, low: int, high: int) -> float:
    if count < low:
        return count / low
    return max(0.0, min(1.0, 2.0 - count / high))


def no_repetition(samples: Sequence[Sample], *, size: int = 3) -> list[float]:
    """Share of distinct runs of `size` words among all of them; 0 for an empty answer."""
    return [_distinct(words_of(s.answer), size) for s in samples]


def _distinct(words: list[str], size: int) -> float:
    runs = [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]
    if not runs:
        return float(bool(words))
    return len(set(runs)) / len(runs)


def exact_match(samples: Sequence[Sample]) -> list[float]:
    """1 where the answer is the row's own, apart from case and white space."""
    return [float(s.answer.lower().split() == s.reference.lower().split()) for s in samples]


def reference_overlap(samples: Sequence[Sample]) -> list[float]:
    """F1 of the words that the answer shares with the row's own answer."""
    return [_overlap(words_of(s.answer), words_of(s.reference)) for s in samples]


def _overlap(answer: list[str], reference: list[str]) -> float:
    shared = sum((Counter(answer) & Counter(reference)).values())
    return 2 * shared / max(1, len(answer) + len(reference))


def regex(samples: Sequence[Sample], *, pattern: str) -> list[float]:
    """1 where `pattern` is found in the answer (Python syntax; anchor it with ^ and $ for the whole answer)."""
    compiled = re.compile(pattern)
    return [float(compiled.search(s.answer) is not None) for s in samples]


BUILT_IN = {
    reward.__name__: reward
    for reward in (
        mentions_subject,
        ends_with_full_stop,
        concise,
        no_repetition,
        exact_match,
        reference_overlap,
        regex,
    )
}
