"""Words that are on a list: shares (data-juicer's flagged words and stop words), and how many of a list occur.

In languages whose words no blank parts, a list's words are looked for anywhere in a text, unless it is segmented.
"""

import re
from collections.abc import Iterable
from functools import cache

import numpy as np
import pyarrow as pa

from ...foundation.errors import InputError
from ...language.stop_words import UNSPACED, has_list, stop_words
from .registry import Scores, texts_of
from .repetition import plain_words
from .resources import Resources, read_words

SCORES = {
    "flagged_words": "share of words on your list `flagged_words`; 0 without one",
    "stop_word_share": "share of words that are stop words: of your list, of `stop_word_language`, or of English",
    "listed_stop_words": "how many different words of that list occur",
}
AUTO = "auto"
NO_LIST = np.nan  # of a language without a list nothing can be said, and no rule is broken


def compute(documents: pa.Table, resources: Resources) -> dict[str, Scores]:
    """Every score of the family."""
    flagged = read_words(resources.flagged_words) if resources.flagged_words else frozenset()
    texts = texts_of(documents)
    words = [plain_words(text) for text in texts]
    languages = languages_of(documents, resources)
    found = [
        in_list(text, each, language, resources) for text, each, language in zip(texts, words, languages, strict=True)
    ]
    return {
        "flagged_words": np.array([share(each, flagged) for each in words], np.float64),
        "stop_word_share": np.array([portion for portion, _ in found], np.float64),
        "listed_stop_words": np.array([number for _, number in found], np.float64),
    }


def languages_of(documents: pa.Table, resources: Resources) -> list[str]:
    """The language of every document: as set, as the language step wrote it, or English."""
    if resources.stop_word_language != AUTO or resources.stop_words:
        return [resources.stop_word_language or "en"] * documents.num_rows
    if "language" not in documents.column_names:
        raise InputError("stop_word_language=auto: no column 'language'; put the step 'language' before this one")
    return [language or "" for language in documents["language"].to_pylist()]


def in_list(text: str, words: list[str], language: str, resources: Resources) -> tuple[float, float]:
    """Share of stop words in a text, and how many different ones; NO_LIST of a language without a list."""
    if resources.stop_words:
        listed = read_words(resources.stop_words)
    elif resources.stop_word_language != AUTO or has_list(language):
        listed = stop_words(language)
    else:
        return NO_LIST, NO_LIST
    if language in UNSPACED and resources.segment == "none":
        return anywhere(text, listed)
    return share(words, listed), float(len(listed.intersection(words)))


def anywhere(text: str, listed: frozenset[str]) -> tuple[float, float]:
    """Letters in words of the list by all letters, and how many different ones there are; longer words first."""
    found = matcher(listed).findall(text)
    letters = sum(map(str.isalpha, text))
    return sum(sum(map(str.isalpha, word)) for word in found) / letters if letters else 0.0, float(len(set(found)))


@cache
def matcher(listed: frozenset[str]) -> re.Pattern[str]:
    """Any word of a list, the longest that fits."""
    return re.compile("|".join(map(re.escape, sorted(listed, key=lambda word: (-len(word), word)))))


def share(words: list[str], of: Iterable[str]) -> float:
    """Share of words that are in `of`; 0 where there are none."""
    return sum(word in of for word in words) / len(words) if words and of else 0.0
