"""Words that are on a list: shares (data-juicer's flagged words and stop words), and how many of a list occur.

In languages whose words no blank parts, a list's words are looked for anywhere in a text, unless it is segmented.
"""

import re
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...foundation.errors import InputError
from ...kernels.runs import listed_words
from ...language.stop_words import UNSPACED, has_list, stop_words
from .plain_words import Hashes, Starts, hashes_of, words_of
from .registry import Scores, texts_of
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
    texts = texts_of(documents)
    words = words_of(texts)
    everywhere = np.arange(len(texts))
    flagged = read_words(resources.flagged_words) if resources.flagged_words else frozenset()
    stop = np.full((2, len(texts)), NO_LIST)
    languages = np.array(languages_of(documents, resources), object)
    for language in dict.fromkeys(languages):
        rows = np.flatnonzero(languages == language)
        listed = list_of(language, resources)
        if listed is None:
            continue
        if language in UNSPACED and resources.segment == "none":
            stop[:, rows] = np.array([anywhere(texts[row], listed) for row in rows], np.float64).T
        else:
            stop[:, rows] = in_list(words, rows, listed)
    return {
        "flagged_words": in_list(words, everywhere, flagged)[0],
        "stop_word_share": stop[0],
        "listed_stop_words": stop[1],
    }


def languages_of(documents: pa.Table, resources: Resources) -> list[str]:
    """The language of every document: as set, as the language step wrote it, or English."""
    if resources.stop_word_language != AUTO or resources.stop_words:
        return [resources.stop_word_language or "en"] * documents.num_rows
    if "language" not in documents.column_names:
        raise InputError("stop_word_language=auto: no column 'language'; put the step 'language' before this one")
    return [language or "" for language in documents["language"].to_pylist()]


def list_of(language: str, resources: Resources) -> frozenset[str] | None:
    """The stop words to look for in a language; None where there are none."""
    if resources.stop_words:
        return read_words(resources.stop_words)
    if resources.stop_word_language != AUTO or has_list(language):
        return stop_words(language)
    return None


def in_list(words: tuple[Hashes, Starts], rows: npt.NDArray[np.int64], listed: frozenset[str]) -> Scores:
    """Shares of words that are in the list, 0 where there are no words, and how many different ones, of some texts."""
    hashes, starts = words
    number, different = listed_words(hashes, starts, rows, hashes_of(listed))
    return np.array([number / np.maximum(starts[rows + 1] - starts[rows], 1), different], np.float64)


def anywhere(text: str, listed: frozenset[str]) -> tuple[float, float]:
    """Letters in words of the list by all letters, and how many different ones there are; longer words first."""
    found = matcher(listed).findall(text)
    letters = sum(map(str.isalpha, text))
    return sum(sum(map(str.isalpha, word)) for word in found) / letters if letters else 0.0, float(len(set(found)))


@cache
def matcher(listed: frozenset[str]) -> re.Pattern[str]:
    """Any word of a list, the longest that fits."""
    return re.compile("|".join(map(re.escape, sorted(listed, key=lambda word: (-len(word), word)))))
