"""Duplicates are found, whatever the partition, and it is said which one stays."""

from itertools import combinations
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_curator import curate
from nemo_curator.dedup import components, exact
from nemo_curator.dedup.fuzzy import keyer
from nemo_curator.dedup.settings import ExactDedup, FuzzyDedup
from nemo_curator.dedup.standalone import DedupExact, dedup
from nemo_curator.dedup.survivors import choose
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl


def shingles(text: str) -> set[str]:
    return {text[i : i + 24] for i in range(len(text) - 23)}


def jaccard(first: str, second: str) -> float:
    a, b = shingles(first), shingles(second)
    return len(a & b) / len(a | b)


def varied(count: int) -> list[str]:
    """Texts with near copies at every degree of likeness."""
    random = Random(5)
    texts = []
    for number in range(count):
        words = " ".join(prose(4 * number + part) for part in range(4)).split()
        texts.append(" ".join(words))
        for changes in (1, 2, 4, 16):
            copy = list(words)
            for _ in range(changes):
                copy[random.randrange(len(copy))] = f"changed{random.random():.4f}"
            texts.append(" ".join(copy))
    return texts


def labels_of(texts: list[str], settings: FuzzyDedup) -> np.ndarray:
    keys = keyer(settings)(pa.table({"text": texts}))
    return components.label(len(texts), ((band, np.arange(len(texts))) for band in keys))


def test_fuzzy_finds_what_brute_force_finds_above_the_threshold():
    texts = varied(20)
    labels = labels_of(texts, FuzzyDedup())
    like = [(i, j, jaccard(texts[i], texts[j])) for i, j in combinations(range(len(texts)), 2)]
    sure = [(i, j) for i, j, s in like if s >= 0.9]
    unlike = [(i, j) for i, j, s in like if s < 0.4]
    assert len(sure) > 10
    assert sum(labels[i] == labels[j] for i, j in sure) >= 0.97 * len(sure)
    assert not any(labels[i] == labels[j] for i, j in unlike)


def test_more_and_shorter_bands_find_more():
    texts = varied(15)
    groups = [
        len(set(labels_of(texts, FuzzyDedup(bands=bands, rows=rows)))) for bands, rows in ((5, 13), (20, 13), (50, 5))
    ]
    assert groups[0] >= groups[1] >= groups[2]
    assert groups[0] > groups[2]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_components_are_those_of_a_flood_fill(rows):
    bands = [(np.array([row[band] for row in rows], np.uint64), np.arange(len(rows))) for band in (0, 1)]
    wanted = list(range(len(rows)))
    for _ in rows:
        for i, j in combinations(range(len(rows)), 2):
            if rows[i][0] == rows[j][0] or rows[i][1] == rows[j][1]:
                wanted[i] = wanted[j] = min(wanted[i], wanted[j])
    assert components.label(len(rows), bands).tolist() == wanted


def test_survivor_is_the_first_or_the_longest():
    labels, lengths = np.array([0, 0, 2, 0, 2]), np.array([5, 9, 7, 9, 7])
    assert choose(labels, lengths, "first").tolist() == [0, 0, 2, 0, 2]
    assert choose(labels, lengths, "longest").tolist() == [1, 1, 2, 1, 2]


def test_exact_can_ignore_case_and_blanks():
    texts = pa.table({"text": ["A  b\n", "a B", "A b", "a b", ""]})
    same = exact.keyer(ExactDedup())(texts).T.tolist()
    alike = exact.keyer(ExactDedup(ignore_case_and_space=True))(texts).T.tolist()
    assert len({tuple(key) for key in same}) == 5
    assert alike[0] == alike[1] == alike[2] == alike[3] != alike[4]


@pytest.mark.parametrize(("survivor", "kept"), [("first", "a.jsonl#00000000"), ("longest", "b.jsonl#00000000")])
def test_a_run_keeps_the_survivor_and_names_it(tmp_path, survivor, kept):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": prose(1)}])
    write_jsonl(tmp_path / "in/b.jsonl", [{"text": prose(1) + " The end."}])
    pipeline = [{"fuzzy_dedup": {"survivor": survivor}}]
    curate(tmp_path / "in", tmp_path / "out", pipeline=pipeline, workers=1, shard_bytes=1)
    assert [row["id"] for row in read_folder(tmp_path / "out/data")] == [kept]
    (reject,) = read_folder(tmp_path / "out/rejects")
    assert (reject["reason"], reject["detail"]) == ("near_duplicate", f"of {kept}")


def test_empty_texts_duplicate_nothing(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": "x\u200b"}, {"text": "\u200b"}, {"text": "\u200e"}])
    result = curate(tmp_path / "in", tmp_path / "out", pipeline=["repair", "exact_dedup", "fuzzy_dedup"], workers=1)
    assert result.documents_out == 3


def survivors(corpus, output, **settings) -> list[str]:
    curate(corpus, output, pipeline=["exact_dedup", "fuzzy_dedup"], workers=1, **settings)
    return sorted(row["id"] for row in read_folder(output / "data"))


def test_survivors_do_not_depend_on_the_partition(corpus, tmp_path):
    """The same texts are dropped from one shard, from many, and from a folder whose files were joined."""
    one = survivors(corpus, tmp_path / "one", shard_bytes=10**9)
    many = survivors(corpus, tmp_path / "many", shard_bytes=1)
    assert one == many
    assert len(one) == 121
    assert "4.jsonl#00000020" not in one
    assert "4.jsonl#00000021" not in one


def test_pages_of_one_address_are_duplicates_whatever_they_say(tmp_path):
    rows = [
        {"text": prose(n), "url": url}
        for n, url in enumerate(["http://a/x", "http://A/x", "http://a/x", "", " ", None])
    ]
    write_jsonl(tmp_path / "in/a.jsonl", rows)
    exactly = dedup(DedupExact, tmp_path / "in", tmp_path / "out", column="url", workers=1)
    assert [r["text"] for r in read_folder(tmp_path / "out/data")] == [prose(n) for n in (0, 1, 3, 4, 5)]
    assert exactly.dropped == {"exact_duplicate": 1}
    step = {"exact_dedup": {"column": "url", "ignore_case_and_space": True}}
    assert curate(tmp_path / "in", tmp_path / "alike", pipeline=[step], workers=1).dropped == {"exact_duplicate": 2}
