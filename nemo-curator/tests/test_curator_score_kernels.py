"""Compiled scores beside plain Python, on texts of many scripts."""

import re
from collections import Counter
from math import isqrt
from unicodedata import category

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nemo_curator.clean.policies import POLICY_PHRASES
from nemo_curator.filter.scores import nemo_lines, registry
from nemo_curator.filter.scores.nemo_lines import BULLETS, ELLIPSES, END_MARKS, STOP_WORDS

PIECES = (
    *("the", "The", "that", "a", "#", "##", "a#b", "#1", "read more", "READ MORE..", "...", "[\u2026]", "\u2026"),
    *("-\u00bb", "\u2022", "\u25e6 x", "\u2021", "cafe\u0301", "\u00c9T\u00c9", "\u03a3\u0391\u03a3", "\u0130"),
    *("\u212a", "\u00df", "\ufb01", "\u4f60\u597d\u3002", "\u65e5\u672c", "\u845b\U000e0100", "\u0634\u0643"),
    *("\u0928\u092e\u0938\u094d\u0924\u0947", "\u0e44\u0e17\u0e22", "\U00020000", "\U0001f600", "\U0001d400"),
    *("1st", "(word),", "''", "don't", "x-", "\u0301", "\u0968", "privacy policy", "Use of Cookies", "coo\u212aies"),
    *("lorem ipsum", "Lorem Ipsum", " ", "  ", "\t", "\n", "\n\n", "\n\n\n", "\r\n", "\x0b", "\x1c", "\x85"),
    *("\u00a0", "\u2028", "\u3000", ".", "?", '"', "\0"),
)
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.text(max_size=60))
MANY = st.lists(TEXTS, min_size=1, max_size=6)


def scores(family, texts):
    found = registry.family(family)
    columns = registry.compute(pa.table({"text": pa.array(texts, pa.string())}), list(found.scores))
    return [tuple(column[row] for column in columns.values()) for row in range(len(texts))]


def over(number, of):
    return number / of if of else 0.0


def unique(parts):
    return over(len(set(parts)), len(parts)), over(sum(map(len, set(parts))), sum(map(len, parts)))


def plain_boilerplate(paragraphs):
    lowered = [paragraph.lower() for paragraph in paragraphs]
    if any("lorem ipsum" in each for each in lowered):
        return 1.0
    return over(sum(any(phrase in each for phrase in POLICY_PHRASES) for each in lowered), len(paragraphs))


def plain_lines(text):
    words, lines = text.split(), [line for line in text.split("\n") if line.strip()]
    stripped, paragraphs = [line.strip() for line in lines], text.split("\n\n")
    symbols = [word for word in words if word in ELLIPSES or len(re.findall("#+", word)) > 0.5 * len(word)]
    return (
        over(len(symbols), len(words)),
        over(sum(line.startswith(BULLETS) for line in stripped), len(lines)),
        over(sum(line.lower().endswith(ELLIPSES) for line in stripped), len(lines)),
        sum(word in STOP_WORDS for word in words),
        over(sum(not line.endswith(END_MARKS) for line in stripped), len(lines)),
        *unique(lines),
        *unique(paragraphs),
        plain_boilerplate(paragraphs),
    )


def plain_words(text):
    return [word for each in re.split("[ \n\t]+", text) if (word := bare(each.lower()))]


def bare(word):
    first = next((i for i, c in enumerate(word) if c.isalpha()), len(word))
    last = next((i for i in range(len(word), first, -1) if category(word[i - 1])[0] in "LM"), first)
    return word[first:last]


def plain_repetition(text):
    runs = sorted(Counter(text[i : i + 10] for i in range(len(text) - 9)).values(), reverse=True)
    several = [count for count in runs if count > 1]
    words = plain_words(text)
    grams = Counter(tuple(words[i : i + 10]) for i in range(len(words) - 9))
    return (
        over(sum(several[: isqrt(len(runs))]), sum(runs)),
        over(sum(count for count in grams.values() if count > 1), grams.total()),
    )


@settings(deadline=None, max_examples=300)
@given(MANY)
@example(["", "\n\n", "#", "read more\nRead More..\nREAD MORE"])
def test_lines_paragraphs_and_marks_are_those_of_python(texts):
    for found, text in zip(scores("nemo_lines", texts), texts, strict=True):
        assert found == pytest.approx(plain_lines(text), abs=1e-12), text


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(TEXTS, TEXTS.map(lambda text: text * 7)), min_size=1, max_size=6))
@example(["ab" * 20, "a b c d e f g h i j " * 3, "short", ""])
def test_repetition_is_that_of_python(texts):
    for found, text in zip(scores("repetition", texts), texts, strict=True):
        assert found == pytest.approx(plain_repetition(text), abs=1e-12), text


@settings(deadline=None, max_examples=300)
@given(MANY)
@example(["The don't (the)", "\u845b\U000e0100 \u845b"])
def test_words_without_signs_are_those_of_python(texts):
    words = [plain_words(text) for text in texts]
    assert [row[0] for row in scores("data_juicer", texts)] == [len(each) for each in words]
    listed = registry.compute(pa.table({"text": texts}), ["stop_word_share", "listed_stop_words"])
    stop = registry_stop_words()
    expected = [over(sum(word in stop for word in each), len(each)) for each in words]
    assert listed["stop_word_share"] == pytest.approx(expected)
    assert list(listed["listed_stop_words"]) == [len(stop.intersection(each)) for each in words]


def registry_stop_words():
    from nemo_curator.language.stop_words import stop_words

    return stop_words("en")


def test_scores_of_a_slice_with_empty_rows_are_those_of_its_texts():
    texts = ["x" * 50, None, "the end.\nthe end.", "read more"]
    column = pa.chunked_array([pa.array(texts).slice(1), pa.array([], pa.string())])
    found = registry.compute(pa.table({"text": column}), list(nemo_lines.SCORES))
    assert np.array(list(found.values())).T[1] == pytest.approx(plain_lines("the end.\nthe end."))


def test_every_policy_phrase_holds_a_hint_of_it():
    assert [phrase for phrase in POLICY_PHRASES if not any(hint in phrase for hint in nemo_lines.HINTS)] == []
