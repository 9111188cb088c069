"""Fuzzy deduplication keeps what it promises: recall, survivors, groups, modes that do not mix."""

import json
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_curator import curate
from nemo_curator.cli import main
from nemo_curator.dedup import components, keys
from nemo_curator.dedup.fuzzy import keyer, shingles, signature
from nemo_curator.dedup.lsh import banding, candidate_probability, unwanted
from nemo_curator.dedup.settings import FuzzyDedup
from nemo_curator.dedup.survivors import choose
from nemo_curator.dedup.verify import jaccard as jaccard_of_sorted
from nemo_curator.foundation.errors import ArtifactError, ConfigError
from nemo_curator.kernels.sketch import sketches
from nemo_curator.pipeline import Pipeline
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl


def sets(size: int, similarity: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Two sets of hashes of this size, and their Jaccard similarity, near the one asked for."""
    shared = round(2 * size * similarity / (1 + similarity))
    pool = random.integers(0, 2**63, 2 * size - shared).astype(np.uint64)
    return pool[:size], pool[size - shared :], shared / (2 * size - shared)


@pytest.mark.parametrize("similarity", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("size", [20, 200, 3000])
def test_a_sketch_estimates_jaccard_without_bias_and_no_worse_than_permutations(size, similarity):
    random = np.random.default_rng(0)
    errors = []
    for seed in range(200):
        one, other, true = sets(size, similarity, random)
        a, b = sketches(np.concatenate([one, other]), np.array([0, size, 2 * size]), 260, seed)
        errors.append((a == b).mean() - true)
    theory = (true * (1 - true) / 260) ** 0.5
    assert abs(np.mean(errors)) < 3.5 * theory / 200**0.5
    assert np.sqrt(np.mean(np.square(errors))) < 1.15 * theory


def test_a_sketch_of_one_shingle_fills_every_bin():
    (sketch,) = sketches(np.array([7], np.uint64), np.array([0, 1]), 64, 0)
    assert (sketch != 0xFFFFFFFF).all()
    assert (sketches(np.array([7, 7, 7], np.uint64), np.array([0, 3]), 64, 0)[0] == sketch).all()


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40), st.integers(1, 12))
def test_shingles_are_equal_where_windows_are(text, width):
    hashes, starts = shingles(pa.array(["pad", text]), FuzzyDedup(mode="fast", width=width))
    own = hashes[starts[1] :].tolist()
    windows = [text[i : i + width] for i in range(max(1, len(text) - width + 1))] if text else []
    assert len(own) == len(windows)
    for (i, first), (j, second) in combinations(enumerate(windows), 2):
        assert (own[i] == own[j]) == (first == second)


def test_words_are_shingled_whatever_stands_between_them():
    settings = FuzzyDedup(mode="fast", shingle="words", width=3)
    one, two, three = signature(pa.array(["a b  c\nd e", "a b c d e", "a b c d f"]), settings)
    assert (one == two).all()
    assert 0.2 < (one == three).mean() < 0.8


@pytest.mark.parametrize("mode", ["exact", "fast"])
@pytest.mark.parametrize("shingle", ["characters", "words"])
def test_equal_shares_estimate_jaccard_in_every_mode(mode, shingle):
    words = [f"w{i}" for i in range(400)]
    texts = [" ".join(words[:300]), " ".join(words[100:])]
    settings = FuzzyDedup(mode=mode, shingle=shingle, width=3 if shingle == "words" else 12, bands=100, rows=10)
    one, two = signature(pa.array(texts), settings)
    pieces = [text.split() if shingle == "words" else text for text in texts]
    windows = [
        {tuple(piece[i : i + settings.width]) for i in range(len(piece) - settings.width + 1)} for piece in pieces
    ]
    true = len(windows[0] & windows[1]) / len(windows[0] | windows[1])
    assert (one == two).mean() == pytest.approx(true, abs=0.06)


def test_bands_are_chosen_for_a_recall_with_the_fewest_false_candidates():
    bands, rows = banding(recall=0.95, jaccard=0.8, hashes=260)
    assert candidate_probability(0.8, bands=bands, rows=rows) >= 0.95
    best = min(
        (unwanted(bands=b, rows=r, below=0.8), b, r)
        for r in range(1, 261)
        for b in range(1, 260 // r + 1)
        if candidate_probability(0.8, bands=b, rows=r) >= 0.95
    )
    assert (bands, rows) == best[1:]
    with pytest.raises(ConfigError, match=r"recall=0.99 at jaccard=0.1 needs more than hashes=20"):
        Pipeline.parse([{"fuzzy_dedup": {"recall": 0.99, "jaccard": 0.1, "hashes": 20}}])


@settings(deadline=None)
@given(st.integers(1, 60), st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)), max_size=60))
def test_components_are_those_of_scipy(count, links):
    links = [(a, b) for a, b in links if max(a, b) < count]
    rows, columns = zip(*links, strict=True) if links else ((), ())
    graph = scipy.sparse.coo_matrix((np.ones(len(links)), (rows, columns)), shape=(count, count))
    labels = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    parents = components.singletons(count)
    for a, b in links:
        components.join(parents, a, b)
    components.flatten(parents)
    first = {label: int(np.flatnonzero(labels == label)[0]) for label in set(labels.tolist())}
    assert parents.tolist() == [first[label] for label in labels.tolist()]


def test_the_highest_score_survives_and_the_first_of_equals():
    labels, scores = np.array([0, 0, 2, 2, 0]), np.array([0.1, 0.7, 0.5, 0.5, 0.7])
    assert choose(labels, scores, "highest").tolist() == [1, 1, 2, 2, 1]


def test_a_run_keeps_the_document_with_the_highest_score(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": prose(1)}, {"text": prose(1) + " Und das war alles, meine Herren."}])
    keep = {"survivor": "highest", "score_column": "language_score"}
    pipeline = [{"language": {"keep": ["en"]}}, {"fuzzy_dedup": keep}]
    curate(tmp_path / "in", tmp_path / "out", pipeline=pipeline, workers=1)
    (kept,) = read_folder(tmp_path / "out/data")
    (reject,) = read_folder(tmp_path / "out/rejects")
    assert kept["language_score"] >= reject["language_score"]
    with pytest.raises(ConfigError, match="score_column: no column 'stars'; columns here: id, text"):
        pipeline = [{"exact_dedup": {"survivor": "highest", "score_column": "stars"}}]
        curate(tmp_path / "in", tmp_path / "none", pipeline=pipeline, workers=1)
    with pytest.raises(ConfigError, match="'url' holds string, which has no order of numbers"):
        pipeline = [{"exact_dedup": {"survivor": "highest", "score_column": "url"}}]
        curate(tmp_path / "in", tmp_path / "none", pipeline=pipeline, workers=1)
    with pytest.raises(ConfigError, match=r"survivor=highest and score_column=\.\.\. go together"):
        Pipeline.parse([{"exact_dedup": {"survivor": "highest"}}])


@given(st.sets(st.integers(0, 50)), st.sets(st.integers(0, 50)))
def test_jaccard_of_sorted_sets_is_that_of_python(one, other):
    wanted = len(one & other) / len(one | other) if one | other else 0
    arrays = [np.array(sorted(each), np.uint64) for each in (one, other)]
    assert jaccard_of_sorted(*arrays) == wanted


def likeness(first: str, second: str) -> float:
    a, b = ({text[i : i + 24] for i in range(len(text) - 23)} for text in (first, second))
    return len(a & b) / len(a | b)


def test_verified_groups_hold_together_by_true_jaccard(tmp_path):
    texts = [prose(n) + f" {'and more ' * step}" for n in range(6) for step in (0, 3, 40, 43)]
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": text} for text in texts])
    step = {"verify": True, "jaccard": 0.85, "bands": 50, "rows": 2, "groups": True, "remove": False}
    curate(tmp_path / "in", tmp_path / "out", pipeline=[{"fuzzy_dedup": step}], workers=1)
    like = [[likeness(a, b) >= 0.85 for a in texts] for b in texts]
    labels = scipy.sparse.csgraph.connected_components(np.array(like), directed=False)[1]
    assert len(set(labels.tolist())) < len(texts)
    groups = {row["id"]: row["group"] for row in read_folder(tmp_path / "out/groups")}
    ids = [f"a.jsonl#{i:08d}" for i in range(len(texts))]
    for (i, a), (j, b) in combinations(enumerate(ids), 2):
        together = groups.get(a, a) == groups.get(b, b)
        assert together == (labels[i] == labels[j])
    assert len(read_folder(tmp_path / "out/data")) == len(texts)


def test_groups_name_one_survivor_each_and_match_the_rejects(corpus, tmp_path, capsys):
    assert main(["dedup", "fuzzy", f"input={corpus}", f"output={tmp_path}/out", "workers=1", "shard_bytes=1"]) == 0
    assert "finds pairs of Jaccard similarity" in capsys.readouterr().err
    groups = read_folder(tmp_path / "out/groups")
    dropped = {row["id"] for row in read_folder(tmp_path / "out/rejects")}
    assert {row["id"] for row in groups if not row["survivor"]} == dropped == {"4.jsonl#00000020", "4.jsonl#00000021"}
    assert sorted(row["group"] for row in groups if row["survivor"]) == ["0.jsonl#00000003", "0.jsonl#00000005"]


def test_keys_of_different_make_are_not_compared(tmp_path):
    texts = pa.table({"text": [prose(1)]})
    for name, mode in (("a.keys", "exact"), ("b.keys", "fast")):
        made = FuzzyDedup(mode=mode)
        gather = keys.KeyGather(keyer(made), num_keys=20, recipe=made.recipe)
        gather.add(texts)
        gather.write(tmp_path / name)
    with pytest.raises(ArtifactError, match=r"b.keys: its keys are MinHash fast, 20 x 13.*the others MinHash exact"):
        keys.KeyTable([tmp_path / "a.keys", tmp_path / "b.keys"])


@pytest.mark.parametrize("memory", [1, 500, 5000, 0])
def test_passes_of_any_size_hold_every_key_once_and_equal_ones_together(tmp_path, memory):
    random = np.random.default_rng(0)
    table = random.integers(0, 2**64, (4, 100), dtype=np.uint64)
    table[0, 50:] = table[0, :50]
    table[2] = random.integers(0, 3, 100)
    keys.write(tmp_path / "a.keys", [table[:, :30]], rows=4, recipe="test")
    keys.write(tmp_path / "b.keys", [table[:, 30:30], table[:, 30:]], rows=4, recipe="test")
    found = list(keys.KeyTable([tmp_path / "a.keys", tmp_path / "b.keys"]).passes((0, 1), memory_bytes=memory))
    numbers = np.concatenate([members for _, members in found])
    assert sorted(numbers.tolist()) == np.flatnonzero(table[2] > 0).tolist()
    for (first, second), members in found:
        assert (first == table[0, members]).all()
        assert (second == table[1, members]).all()
        assert (np.diff(members) > 0).all()
    homes = [{int(key) for key in first} for (first, _), _ in found]
    assert not any(a & b for a, b in combinations(homes, 2))
    assert (len(found) > 1) == (0 < memory < 6000)


@pytest.mark.parametrize("mode", ["exact", "fast"])
@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_survivors_do_not_depend_on_the_cut_of_batches_and_shards(tmp_path_factory, mode, data):
    """Keys gathered from any batches in any shards lead to the same components."""
    texts = [prose(n % 7) + " and so on" * (n % 3) for n in range(30)]
    made = FuzzyDedup(mode=mode, bands=20, rows=5)
    cuts = sorted(data.draw(st.sets(st.integers(1, 29), max_size=6)))
    folder, files = tmp_path_factory.mktemp("keys"), []
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, 30], strict=True)):
        gather = keys.KeyGather(keyer(made), num_keys=20, recipe=made.recipe)
        middle = data.draw(st.integers(first, last))
        for low, high in ((first, middle), (middle, last)):
            if high > low:
                gather.add(pa.table({"text": texts[low:high]}))
        files.append(folder / f"{number}.keys")
        gather.write(files[-1])
    table = keys.KeyTable(files)
    found = components.label(30, ((k, m) for band in range(20) for (k,), m in table.passes((band,), memory_bytes=700)))
    whole = keyer(made)(pa.table({"text": texts}))
    assert found.tolist() == components.label(30, ((band, np.arange(30)) for band in whole)).tolist()


def test_measured_recall_and_precision_are_those_of_plain_python(tmp_path, capsys):
    texts = [prose(n) + f" {'and more ' * step}" for n in range(5) for step in (0, 1, 20, 40)]
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": text} for text in texts])
    assert main(["dedup", "recall", f"input={tmp_path}/in", "jaccard=0.7", "bands=6", "rows=4"]) == 0
    told = json.loads(capsys.readouterr().out)
    true = {(i, j) for i, j in combinations(range(20), 2) if likeness(texts[i], texts[j]) >= 0.7}
    bands = keyer(FuzzyDedup(bands=6, rows=4))(pa.table({"text": texts}))
    found = {(i, j) for i, j in combinations(range(20), 2) if (bands[:, i] == bands[:, j]).any()}
    assert (told["true_pairs"], told["candidate_pairs"]) == (len(true), len(found))
    assert told["recall"] == len(true & found) / len(true)
    assert told["precision"] == len(true & found) / len(found)
    assert main(["dedup", "recall", f"input={tmp_path}/in/none"]) == 2
