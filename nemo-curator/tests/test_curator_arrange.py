"""Blending, shuffling, sharding, separating, numbering, sampling: exact, the same each time, every column kept."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_curator.arrange import passes
from nemo_curator.arrange.blend import blend, turns
from nemo_curator.arrange.separate import separate
from nemo_curator.arrange.settings import AddId, Blend, Sample, Separate, Shard, Shuffle
from nemo_curator.arrange.stable import fractions, shares
from nemo_curator.cli import main
from nemo_curator.foundation import artifact
from nemo_curator.foundation.errors import ConfigError, InputError
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl


@pytest.fixture
def own(tmp_path):
    """Three files of a user's own, with columns of several types."""
    for file in range(3):
        rows = [
            {"id": f"u{file}-{n}", "text": prose(40 * file + n), "stars": n % 5, "tag": "ab"[n % 2], "meta": {"k": [n]}}
            for n in range(40)
        ]
        write_jsonl(tmp_path / "own" / f"{file}.jsonl", rows)
    return tmp_path / "own"


def data(folder):
    return read_folder(folder / "data")


def hashes(folder):
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((folder / "data").iterdir())]


def test_every_column_is_kept(own, tmp_path):
    passes.shard(Shard(input=own, output=tmp_path / "out", rows_per_file=50))
    rows = data(tmp_path / "out")
    assert [pq.read_metadata(p).num_rows for p in sorted((tmp_path / "out" / "data").iterdir())] == [50, 50, 20]
    assert rows[41] == {
        "id": "1.jsonl#00000001",
        "source": "1.jsonl:2",
        "source_id": "u1-1",
        "text": prose(41),
        "url": "",
        "title": "",
        "language": "",
        "language_score": 0.0,
        "metadata": "",
        "stars": 1,
        "tag": "b",
        "meta": '{"k":[1]}',
    }


def test_files_hold_so_many_bytes_at_most(own, tmp_path):
    passes.shard(Shard(input=own, output=tmp_path / "out", rows_per_file=None, bytes_per_file=2000))
    sizes = [
        [len(r["text"].encode()) for r in pq.read_table(p).to_pylist()]
        for p in sorted((tmp_path / "out" / "data").iterdir())
    ]
    assert all(sum(each) <= 2000 for each in sizes)
    assert all(sum(a) + b[0] > 2000 for a, b in pairwise(sizes))
    passes.shard(Shard(input=own, output=tmp_path / "one", rows_per_file=None, bytes_per_file=1))
    assert len(list((tmp_path / "one" / "data").iterdir())) == 120


def test_a_shuffle_is_the_same_with_little_memory_and_files_in_another_order(own, tmp_path):
    passes.shuffle(Shuffle(input=own, output=tmp_path / "whole"))
    passes.shuffle(Shuffle(input=own, output=tmp_path / "pieces", memory_bytes=5000))
    assert hashes(tmp_path / "whole") == hashes(tmp_path / "pieces")
    order = [row["source_id"] for row in data(tmp_path / "whole")]
    assert sorted(order) == sorted(f"u{file}-{n}" for file in range(3) for n in range(40))
    assert order != sorted(order)
    passes.shuffle(Shuffle(input=own, output=tmp_path / "other", seed=1))
    assert [row["source_id"] for row in data(tmp_path / "other")] != order
    assert not (tmp_path / "pieces" / "work").exists()


def test_a_sample_is_exact_and_even_by_column(own, tmp_path):
    passes.sample(Sample(input=own, output=tmp_path / "tenth", fraction=0.1))
    assert len(data(tmp_path / "tenth")) == 12
    passes.sample(Sample(input=own, output=tmp_path / "even", count=50, by="stars"))
    assert Counter(row["stars"] for row in data(tmp_path / "even")) == dict.fromkeys(range(5), 10)
    passes.sample(Sample(input=own, output=tmp_path / "each", by="stars", per_value=3))
    assert Counter(row["stars"] for row in data(tmp_path / "each")) == dict.fromkeys(range(5), 3)


def test_a_smaller_sample_is_within_a_larger_one(own, tmp_path):
    for count in (10, 30):
        passes.sample(Sample(input=own, output=tmp_path / str(count), count=count))
    small, large = ({row["id"] for row in data(tmp_path / str(count))} for count in (10, 30))
    assert small < large


def test_separate_makes_an_artifact_for_each_value(own, tmp_path):
    write_jsonl(own / "3.jsonl", [{"text": "odd", "tag": "../x"}, {"text": "none", "tag": None}, "no json"])
    done = separate(Separate(input=own, output=tmp_path / "out", by="tag"))
    assert done.values == {"": 1, "../x": 1, "a": 60, "b": 60}
    assert done.unread == {"not_json": 1}
    assert {row["tag"] for row in data(tmp_path / "out" / "a")} == {"a"}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["%2E%2E%2Fx", "_none", "_unread", "a", "b"]
    with pytest.raises(ConfigError, match="has more than 1 values"):
        separate(Separate(input=own, output=tmp_path / "few", by="tag", max_values=1))
    assert not list((tmp_path / "few").rglob("*.parquet"))
    with pytest.raises(InputError, match=r"by=tags: the input has no such column; it has id, text"):
        separate(Separate(input=own, output=tmp_path / "no", by="tags"))


def test_separate_keeps_what_could_not_be_read(tmp_path):
    rows = [{"text": "a", "tag": "x"}, "no json", {"tag": "x"}, {"text": "b", "tag": "_unread"}, {"text": "c"}]
    write_jsonl(tmp_path / "in/a.jsonl", rows)
    done = separate(Separate(input=tmp_path / "in", output=tmp_path / "out", by="tag"))
    assert (done.documents_in, done.unread) == (3, {"not_json": 1, "missing_text": 1})
    assert sorted(folder.name for folder in (tmp_path / "out").iterdir()) == ["%5Funread", "_none", "_unread", "x"]
    kept = read_folder(tmp_path / "out/_unread/rejects")
    assert [(row["reason"], row["source"]) for row in kept] == [
        ("not_json", "a.jsonl:2"),
        ("missing_text", "a.jsonl:3"),
    ]
    assert artifact.read(tmp_path / "out/_unread", "documents").stats["documents_in"] == 2


def test_a_blend_by_bytes_has_shares_of_text(tmp_path):
    write_jsonl(tmp_path / "long.jsonl", [{"text": f"{n:04d}" * 250} for n in range(100)])
    write_jsonl(tmp_path / "short.jsonl", [{"text": f"{n:04d}" * 10} for n in range(3000)])
    inputs = [tmp_path / "long.jsonl", tmp_path / "short.jsonl"]
    for asked, expected in ((None, 150_000), (40_000, 40_000), (320_000, 320_000)):
        output = tmp_path / f"out-{asked}"
        blend(Blend(inputs=inputs, weights=[2, 1], by="bytes", text_bytes=asked, output=output))
        size = dict.fromkeys(("long.jsonl", "short.jsonl"), 0)
        for row in read_folder(output / "data"):
            size[row["origin"]] += len(row["text"])
        assert size["long.jsonl"] == pytest.approx(expected * 2 / 3, abs=500)
        assert size["short.jsonl"] == pytest.approx(expected / 3, abs=20)
    for wrong in ({"by": "bytes", "documents": 5}, {"text_bytes": 5}):
        with pytest.raises(ConfigError, match="text_bytes"):
            Blend(inputs=inputs, weights=[1, 1], output=tmp_path / "no", **wrong)


@pytest.fixture
def tokens(tmp_path):
    """A tokenizer of which every character is a token, and a longer run of the letter a one."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("a+|."), "isolated")
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.mark.parametrize("asked", [None, 3_000, 26_000])
def test_a_blend_by_tokens_has_shares_of_tokens(tmp_path, tokens, asked):
    rows = {
        "dense": [{"text": f"{n:04d}" * (5 + n % 7)} for n in range(100)],  # a token a character
        "sparse": [{"text": f"{n:04d}" + "a" * 500} for n in range(2000)],  # five tokens in 504 characters
    }
    for name, texts in rows.items():
        write_jsonl(tmp_path / f"{name}/0.jsonl", texts)
    inputs = [tmp_path / "dense", tmp_path / "sparse"]
    done = blend(
        Blend(inputs=inputs, weights=[1, 2], by="tokens", tokens=asked, tokenizer=tokens, output=tmp_path / "out")
    )
    found = dict.fromkeys(rows, 0)
    for row in read_folder(tmp_path / "out/data"):
        found[row["origin"]] += len(row["text"]) if row["origin"] == "dense" else 5
    whole = {"dense": sum(len(row["text"]) for row in rows["dense"]), "sparse": 10_000}
    wanted = asked or min(3 * whole["dense"], 15_000)
    assert found["dense"] == pytest.approx(wanted / 3, abs=22)  # half of the longest document
    assert found["sparse"] == pytest.approx(wanted * 2 / 3, abs=3)
    assert done.amounts == found
    assert done.shares == {name: round(number / sum(found.values()), 6) for name, number in found.items()}


def test_tokens_need_a_tokenizer_and_its_file(own, tmp_path):
    with pytest.raises(ConfigError, match="by=tokens and tokenizer=PATH go together"):
        Blend(inputs=[own], weights=[1], by="tokens", output=tmp_path / "o")
    with pytest.raises(ConfigError, match="tokens: needs by=tokens; with by=bytes say how much as text_bytes=N"):
        Blend(inputs=[own], weights=[1], by="bytes", tokens=5, output=tmp_path / "o")
    with pytest.raises(ConfigError, match=r"tokenizer=.*nowhere.*: cannot be read as a tokenizer.json"):
        blend(Blend(inputs=[own], weights=[1], by="tokens", tokenizer=tmp_path / "nowhere", output=tmp_path / "o"))


def test_ids_of_ones_own(own, tmp_path):
    passes.add_id(AddId(input=own, output=tmp_path / "out", prefix="web", start=7))
    rows = data(tmp_path / "out")
    assert [row["id"] for row in rows][:2] == ["web-0000000007", "web-0000000008"]
    assert rows[0]["source_id"] == "u0-0"
    passes.add_id(AddId(input=tmp_path / "out", output=tmp_path / "content", kind="content"))
    again = data(tmp_path / "content")
    assert len({row["id"] for row in again}) == 120
    assert again[0]["source_id"] == "u0-0"


@given(st.integers(0, 1000), st.lists(st.floats(0.01, 10), min_size=1, max_size=6))
def test_shares_are_exact_and_within_one_of_the_proportion(total, weights):
    parts = shares(total, weights)
    assert sum(parts) == total
    assert all(abs(part - total * w / sum(weights)) < 1 + 1e-9 for part, w in zip(parts, weights, strict=True))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=4))
def test_turns_keep_every_input_close_to_its_share(due):
    order = [index for chunk in turns(due) for index in chunk]
    assert Counter(order) == {i: n for i, n in enumerate(due) if n}
    for done in range(1, len(order) + 1):
        for index, number in enumerate(due):
            assert abs(order[:done].count(index) - number * done / sum(due)) < len(due)


def test_a_blend_has_exact_proportions(own, tmp_path):
    write_jsonl(tmp_path / "books" / "b.jsonl", [{"text": prose(500 + n), "pages": n} for n in range(10)])
    inputs = [own, tmp_path / "books"]
    done = blend(Blend(inputs=inputs, weights=[3, 1], output=tmp_path / "out"))
    assert done.by_input == {"own": 30, "books": 10}
    rows = data(tmp_path / "out")
    assert [row["origin"] for row in rows[:8]].count("own") == 6
    assert len({row["id"] for row in rows}) == 40
    assert {row["pages"] for row in rows if row["origin"] == "books"} == set(range(10))
    done = blend(Blend(inputs=inputs, weights=[1, 1], output=tmp_path / "more", documents=50))
    ids = Counter(row["id"].partition("~")[0] for row in data(tmp_path / "more") if row["origin"] == "books")
    assert sorted(ids.values()) == [2] * 5 + [3] * 5
    assert len({row["id"] for row in data(tmp_path / "more")}) == 50
    with pytest.raises(ConfigError, match="needs 50 documents of books, which has 10: more than 4 copies"):
        blend(Blend(inputs=inputs, weights=[1, 1], output=tmp_path / "no", documents=100))


def test_impossible_settings_are_named(own, tmp_path):
    with pytest.raises(ConfigError, match="weights: 1 of them for 2 inputs"):
        Blend(inputs=[own, own], weights=[1], output=tmp_path / "o")
    with pytest.raises(ConfigError, match="all are 0"):
        Blend(inputs=[own], weights=[0], output=tmp_path / "o")
    with pytest.raises(ConfigError, match="give one of fraction, count and per_value, not none"):
        Sample(input=own, output=tmp_path / "o")
    with pytest.raises(ConfigError, match="not fraction and count"):
        Sample(input=own, output=tmp_path / "o", count=1, fraction=0.5)
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match=r"empty.jsonl holds no document, but has the weight 1"):
        blend(Blend(inputs=[own, tmp_path / "empty.jsonl"], weights=[1, 1], output=tmp_path / "o"))
    (tmp_path / "page.html").write_text("<p>x</p>")
    with pytest.raises(InputError, match=r"page.html holds pages, not texts; make documents of them first"):
        passes.shard(Shard(input=tmp_path / "page.html", output=tmp_path / "o"))


def test_hashed_choices_are_even():
    drawn = fractions([f"doc-{n}" for n in range(20_000)], seed=0, purpose="test")
    assert abs(drawn.mean() - 0.5) < 0.01
    assert abs((drawn < 0.1).mean() - 0.1) < 0.01
    assert fractions(["x"], seed=0, purpose="a") != fractions(["x"], seed=0, purpose="b")


def test_columns_of_several_types_hold_every_value(tmp_path):
    rows = [
        {"text": "a", "x": 1},
        {"text": "b", "x": 2.5},
        {"text": "c", "y": [1, "a"]},
        {"text": "d", "y": "s", "z": 1 << 70},
    ]
    source = write_jsonl(tmp_path / "in" / "a.jsonl", rows).parent
    pq.write_table(pa.table({"text": ["e"], "x": [3], "when": pa.array([1], pa.timestamp("s"))}), source / "b.parquet")
    passes.shard(Shard(input=source, output=tmp_path / "out"))
    found = data(tmp_path / "out")
    assert [row["x"] for row in found] == [1.0, 2.5, None, None, 3.0]
    assert [row["y"] for row in found] == [None, None, '[1,"a"]', "s", None]
    assert found[3]["z"] == str(1 << 70)
    assert found[4]["when"].year == 1970


def test_a_filter_keeps_columns_and_is_the_same_with_two_workers(own, tmp_path):
    write_jsonl(own / "9.jsonl", [{"text": "too short", "stars": 3}, "{"])
    words = ["filter", f"input={own}", "preset=gopher", "keep_scores=true", "shard_bytes=20000"]
    assert main([*words, f"output={tmp_path / 'one'}", "workers=1"]) == 0
    assert main([*words, f"output={tmp_path / 'two'}", "workers=2"]) == 0
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    rejects = read_folder(tmp_path / "one" / "rejects")
    assert [(row["reason"], row["stars"]) for row in rejects] == [("not_json", None), ("too_few_words", 3)]
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert manifest["stats"]["documents_in"] == 122
    assert "too few words" in (tmp_path / "one" / "report.html").read_text().replace("_", " ")
    strict = ["filter", f"input={tmp_path / 'one'}", "preset=none", "min_words=100", f"output={tmp_path / 'strict'}"]
    assert main([*strict, "workers=1"]) == 0
    kept = data(tmp_path / "strict")
    assert [row["id"] for row in kept] == [r["id"] for r in data(tmp_path / "one") if r["score_words"] >= 100]


@pytest.mark.slow
def test_a_filter_that_is_killed_goes_on_with_the_same_result(own, tmp_path):
    words = ["filter", f"input={own}", "preset=nemo", "shard_bytes=1", "workers=1"]
    assert main([*words, f"output={tmp_path / 'whole'}"]) == 0
    command = [sys.executable, "-m", "nemo_curator", *words, f"output={tmp_path / 'cut'}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list((tmp_path / "cut.partial" / "data").glob("part-*")):
        os.sched_yield()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(command, check=True, capture_output=True)
    assert hashes(tmp_path / "whole") == hashes(tmp_path / "cut")


def test_steps_of_a_pipeline_add_their_columns(own, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "pipeline:\n- repair\n- quality: {keep_scores: true}\n- exact_dedup\n- redact: {kinds: [email]}\n"
    )
    assert main(["run", str(recipe), f"input={own}", f"output={tmp_path / 'out'}", "workers=1"]) == 0
    row = data(tmp_path / "out")[0]
    assert row["score_words"] > 50
    assert row["redacted_email"] == 0
