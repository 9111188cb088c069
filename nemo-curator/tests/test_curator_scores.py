"""Scores equal a plain Python reference; rules name the fault."""

import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nemo_curator.filter.presets import GOPHER
from nemo_curator.filter.quality import first_faults, score
from nemo_curator.filter.rules import RULES
from nemo_curator.filter.thresholds import Quality
from nemo_curator.foundation.errors import ConfigError
from nemo_curator.kernels.scores import SCORES, STOP_WORDS
from nemo_curator.testing.corpora import prose

BULLETS = tuple("-*\u2022\u2023\u25b6\u25c0\u25e6\u25a0\u25a1\u25aa\u25ab\u25cf")


def repeated(spans: list[str]) -> tuple[float, float]:
    seen, repeats, characters = set(), 0, 0
    for span in spans:
        repeats += span in seen
        characters += len(span) if span in seen else 0
        seen.add(span)
    return (repeats / len(spans), characters / sum(map(len, spans))) if spans else (0.0, 0.0)


def top(words: list[str], n: int) -> float:
    grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    most = max((count * sum(map(len, gram)) for gram, count in grams.items() if count > 1), default=0)
    return min(1.0, most / sum(map(len, words))) if words else 0.0


def duplicates(words: list[str], n: int) -> float:
    seen, covered = set(), set()
    for i in range(len(words) - n + 1):
        gram = tuple(words[i : i + n])
        if gram in seen:
            covered |= set(range(i, i + n))
        seen.add(gram)
    return sum(len(words[i]) for i in covered) / sum(map(len, words)) if words else 0.0


def strip_to_letters(word: str) -> str:
    letters = [i for i, c in enumerate(word) if c.isalpha()]
    return word[letters[0] : letters[-1] + 1] if letters else ""


def reference(text: str) -> dict[str, float]:
    """Every score, as its definition reads."""
    words = text.split()
    lines = [line.strip(" \t\n\r\v\f") for line in text.split("\n")]
    paragraphs = [p.strip(" \t\n\r\v\f") for p in re.split(r"\n[ \t\r\v\f]*(?:\n[ \t\r\v\f]*)+", text)]
    lines, paragraphs = [x for x in lines if x], [x for x in paragraphs if x]
    n = len(words) or 1
    bare = {strip_to_letters(w) for w in words}
    found = {
        "words": len(words),
        "mean_word_length": sum(map(len, words)) / n,
        "symbols_per_word": max(text.count("#"), text.count("...") + text.count("\u2026")) / n if words else 0,
        "bullet_lines": sum(line.startswith(BULLETS) for line in lines) / (len(lines) or 1),
        "ellipsis_lines": sum(line.endswith(("...", "\u2026")) for line in lines) / (len(lines) or 1),
        "alphabetic_words": sum(any(map(str.isalpha, w)) for w in words) / n,
        "stop_words": len({w.lower() for w in bare if w.isascii()} & set(STOP_WORDS)),
    }
    found["duplicate_lines"], found["duplicate_line_characters"] = repeated(lines)
    found["duplicate_paragraphs"], found["duplicate_paragraph_characters"] = repeated(paragraphs)
    found |= {f"top_{k}_gram": top(words, k) for k in (2, 3, 4)}
    found |= {f"duplicate_{k}_grams": duplicates(words, k) for k in range(5, 11)}
    return found


def assert_scores(texts: list[str]) -> None:
    scores = score(pa.array(texts, pa.string()))
    for row, text in enumerate(texts):
        wanted = reference(text)
        assert {name: float(scores[name][row]) for name in SCORES} == pytest.approx(wanted), text


WORD = st.sampled_from(
    [
        "the",
        "The,",
        "of",
        "a",
        "#",
        "...",
        "x\u2026",
        "\u00e9t\u00e9",
        "-",
        "\u2022",
        "12",
        "that!",
        "ha",
        "\u201cwith\u201d",
    ]
)
SPACE = st.sampled_from([" ", " ", " ", "\n", "\n\n", "\t", "\u00a0", "\u2003", "\n \n"])


@settings(deadline=None, max_examples=200)
@given(st.lists(st.lists(st.tuples(WORD, SPACE), max_size=60).map(lambda p: "".join(a + b for a, b in p)), max_size=3))
@example(["a b c d e f g h i j k l " * 3])
@example(["", " ", "\n\n", "x"])
def test_scores_equal_the_reference(texts):
    assert_scores(texts)


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=80))
def test_words_are_those_of_str_split(text):
    assert score(pa.array([text]))["words"][0] == len(text.split())


def test_scores_do_not_depend_on_the_batch():
    texts = [prose(n) * (n % 3 + 1) for n in range(8)]
    whole = score(pa.array(texts, pa.string()))
    for row, text in enumerate(texts):
        alone = score(pa.array([text]))
        assert all(alone[name][0] == whole[name][row] for name in SCORES)


CASES = {
    "too_few_words": "the end of that",
    "too_many_words": "the cat and dog that " * 21_000,
    "words_too_short": "a b of c " * 30,
    "words_too_long": "internationalisation of characteristically " * 30,
    "too_many_symbols": prose(1) + " a####b" * 15,
    "too_many_bullets": "\n".join(f"- {line} and the" for line in re.findall(r".{30}", prose(1))),
    "too_many_ellipses": "\n".join(f"{line} and the..." for line in re.findall(r".{60}", prose(1) + prose(2))),
    "too_few_alphabetic_words": prose(1) + " 12345" * 60,
    "too_few_stop_words": " ".join(f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(80)),
    "too_many_duplicate_lines": prose(1) + "\nbut no\nbut no\nbut no\nbut no",
    "one_2_gram_too_often": prose(1) + " banana split" * 40,
}


@pytest.mark.parametrize(("reason", "text"), CASES.items())
def test_a_document_is_dropped_for_its_fault(reason, text):
    limits = Quality().limits()
    reasons, details = first_faults(score(pa.array([text])), limits)
    assert reasons == [reason]
    (rule,) = [r for r in RULES if r.reason == reason]
    assert details[0].startswith(f"{rule.score} ")
    assert f"{rule.threshold} {limits[rule.threshold]:g}" in details[0]


def test_every_rule_fires_just_beyond_its_limit_and_not_at_it():
    for rule in RULES:
        limit = 0.5
        beyond = limit - 0.01 if rule.threshold.startswith("min") else limit + 0.01
        assert rule.at_fault(np.array([limit, beyond]), limit).tolist() == [False, True], rule.reason


def test_good_prose_passes():
    assert first_faults(score(pa.array([prose(n) for n in range(9)])), Quality().limits())[0] == [None] * 9


def test_presets_and_overrides():
    assert Quality(min_words=20).limits()["min_words"] == 20
    assert Quality().limits()["max_words"] == GOPHER["max_words"]
    assert Quality(preset="none").limits() == {}
    assert Quality(preset="none", min_words=3).limits() == {"min_words": 3}
    assert "min_stop_words" not in Quality(off=["min_stop_words"]).limits()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_words": 10, "max_words": 5}, r"min_words=10 is above max_words=5: no document could stay"),
        ({"min_words": 200_000}, r"min_words=200000 is above max_words=100000"),
        ({"min_mean_word_length": 11}, r"min_mean_word_length=11 is above max_mean_word_length=10"),
        ({"off": ["min_word"]}, r"unknown threshold 'min_word'; did you mean 'min_words'\?"),
    ],
)
def test_impossible_thresholds_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Quality(**settings)
