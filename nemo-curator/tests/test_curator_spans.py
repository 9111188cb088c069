"""Passages that occur before are cut out, those that a suffix array or plain Python finds."""

from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_curator import curate
from nemo_curator.dedup.cuts import without
from nemo_curator.dedup.span_settings import SubstringDedup
from nemo_curator.dedup.spans import SORT_BYTES, ranges, united
from nemo_curator.foundation import artifact
from nemo_curator.foundation.errors import ConfigError
from nemo_curator.kernels.strings import buffers
from nemo_curator.kernels.units import SENTENCES, unit_windows
from nemo_curator.pipeline import Pipeline
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl


def suffix_array_cuts(texts: list[bytes], length: int) -> list[list[tuple[int, int]]]:
    """Spans of every text that occur at an earlier place, by sorting all suffixes of all texts."""
    suffixes = sorted((text[at:], number, at) for number, text in enumerate(texts) for at in range(len(text)))
    marked = [np.zeros(len(text) + 1, bool) for text in texts]
    groups: list[list[tuple[int, int]]] = []
    for i, (suffix, number, at) in enumerate(suffixes):
        if len(suffix) < length:
            continue
        if i and groups and suffixes[i - 1][0][:length] == suffix[:length]:
            groups[-1].append((number, at))
        else:
            groups.append([(number, at)])
    for group in groups:
        for number, at in sorted(group)[1:]:
            marked[number][at : at + length] = True
    return [runs(flags) for flags in marked]


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def spans_found(folder) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for row in read_folder(folder / "spans"):
        found.setdefault(row["id"], []).append((row["start"], row["end"]))
    return found


def mosaic(seed: int, count: int) -> list[str]:
    """Texts put together from shared and from own pieces."""
    random = Random(seed)
    pieces = ["".join(random.choice("abcé ") for _ in range(random.randint(5, 60))) for _ in range(12)]
    return [
        "x" + "".join(random.choice(pieces) if random.random() < 0.6 else str(random.random()) for _ in range(6))
        for _ in range(count)
    ]


@pytest.mark.parametrize(("seed", "length"), [(1, 8), (2, 20), (3, 50)])
def test_substrings_cut_are_those_of_a_suffix_array(tmp_path, seed, length):
    texts = mosaic(seed, 40)
    for file in range(4):
        write_jsonl(tmp_path / f"in/{file}.jsonl", [{"text": text} for text in texts[10 * file : 10 * file + 10]])
    pipeline = [{"substring_dedup": {"length": length}}]
    curate(tmp_path / "in", tmp_path / "out", pipeline=pipeline, workers=1, shard_bytes=1)
    wanted = suffix_array_cuts([text.encode() for text in texts], length)
    assert sum(map(len, wanted)) > 20
    ids = [f"{file}.jsonl#{row:08d}" for file in range(4) for row in range(10)]
    assert spans_found(tmp_path / "out") == {ids[i]: spans for i, spans in enumerate(wanted) if spans}
    left = {row["id"]: row["text"] for row in read_folder(tmp_path / "out/data")}
    for name, text, spans in zip(ids, texts, wanted, strict=True):
        assert left.get(name, "") == (without(text, spans) if spans else text)


def test_repeated_runs_of_words_are_cut_whatever_stands_between_them(tmp_path):
    rows = [{"text": "One two three four. Five six"}, {"text": "Say: two\nthree  four. Five too. Two three four."}]
    write_jsonl(tmp_path / "in/a.jsonl", rows)
    pipeline = [{"substring_dedup": {"unit": "words", "length": 3}}]
    curate(tmp_path / "in", tmp_path / "out", pipeline=pipeline, workers=1)
    texts = [row["text"] for row in read_folder(tmp_path / "out/data")]
    assert texts == [rows[0]["text"], "Say: too. Two three four."]


def test_windows_that_exceed_memory_wait_in_a_file(tmp_path, monkeypatch):
    from nemo_curator.dedup import columns, spans

    texts = mosaic(4, 30)
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": text} for text in texts])
    curate(tmp_path / "in", tmp_path / "roomy", pipeline=["substring_dedup"], workers=1)
    monkeypatch.setattr(columns, "MEMORY_BYTES", 100)
    monkeypatch.setattr(spans, "WINDOWS_AT_ONCE", 7)
    curate(tmp_path / "in", tmp_path / "tight", pipeline=["substring_dedup"], workers=1)
    assert spans_found(tmp_path / "roomy") == spans_found(tmp_path / "tight")


def test_lines_that_occur_before_are_cut_and_the_first_stays(tmp_path):
    menu = "Home | News | About us"
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": f"{menu}\nOne story.\n"}, {"text": f"Another.\n\n{menu}\nEnd."}])
    write_jsonl(tmp_path / "in/b.jsonl", [{"text": menu}, {"text": f"  {menu}  \nLast."}])
    pipeline = [{"span_dedup": {"unit": "line", "window": 1}}]
    result = curate(tmp_path / "in", tmp_path / "out", pipeline=pipeline, workers=1, shard_bytes=1)
    texts = {row["id"]: row["text"] for row in read_folder(tmp_path / "out/data")}
    assert texts == {
        "a.jsonl#00000000": f"{menu}\nOne story.\n",
        "a.jsonl#00000001": "Another.\n\nEnd.",
        "b.jsonl#00000001": "  Last.",
    }
    assert result.dropped == {"only_repeated_spans": 1}
    (comparison,) = artifact.read(tmp_path / "out", "documents").stats["comparisons"]
    assert (comparison["step"], comparison["spans"]) == ("span_dedup", 3)


def test_three_sentences_in_a_row_are_cut_but_not_two(tmp_path):
    first = "One is one. Two is two! Is three three? Four is mine."
    rows = [{"text": first}, {"text": "One is one. Two is two! But then."}, {"text": f"So: \n{first[:-14]} And five."}]
    write_jsonl(tmp_path / "in/a.jsonl", rows)
    curate(tmp_path / "in", tmp_path / "out", pipeline=["span_dedup"], workers=1)
    texts = [row["text"] for row in read_folder(tmp_path / "out/data")]
    assert texts == [first, rows[1]["text"], "So: \nAnd five."]


def test_paragraphs_can_all_go(tmp_path):
    write_jsonl(
        tmp_path / "in/a.jsonl", [{"text": "Mine.\n\nOurs,\nboth.\n\nMine too."}, {"text": "Ours,\nboth.\n\nIts."}]
    )
    pipeline = [{"span_dedup": {"unit": "paragraph", "window": 1, "keep": "none"}}]
    curate(tmp_path / "in", tmp_path / "out", pipeline=pipeline, workers=1)
    assert [row["text"] for row in read_folder(tmp_path / "out/data")] == ["Mine.\n\nMine too.", "Its."]


def sentences(text: str) -> list[str]:
    data, offsets = buffers(pa.array([text]))
    _, places = unit_windows(data, offsets, SENTENCES, 1, 1)
    return [text.encode()[start:end].decode() for _, start, end in places.T]


def test_sentences_end_at_marks_before_blanks_and_at_newlines():
    text = 'He said "No." Then 3.14 came... What?! A title\nNext 一。二！"End.'
    assert sentences(text) == [
        'He said "No." ',
        "Then 3.14 came... ",
        "What?! ",
        "A title\n",
        "Next 一。",
        '二！"',
        "End.",
    ]


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=80))
def test_sentences_put_together_are_the_text_without_its_first_blanks(text):
    found = sentences(text)
    assert "".join(found) == (
        text.encode()[len(text.encode()) - len("".join(found).encode()) :].decode() if found else ""
    )
    assert not text.removesuffix("".join(found)).strip()


@settings(deadline=None)
@given(st.lists(st.text("a.。 \n", max_size=12), max_size=8), st.integers(0, 3))
def test_short_units_fit_into_their_room(texts, unit):
    data, offsets = buffers(pa.array(texts, pa.string()))
    hashes, places = unit_windows(data, offsets, unit, 1, 1)
    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    words = [word for text in texts for word in text.split()]
    assert len(hashes) == places.shape[1] == {0: len(lines), 3: len(words)}.get(unit, len(hashes))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(1, 9)), max_size=20))
def test_spans_unite_where_they_touch(spans):
    places = np.array([(row, start, start + size) for row, start, size in spans], np.int32).reshape(-1, 3).T
    covered = {(row, byte) for row, start, size in spans for byte in range(start, start + size)}
    found = united(places)
    assert {(int(r), byte) for r, a, b in found.T for byte in range(a, b)} == covered
    assert all(r != s or b < c for (r, _, b), (s, c, _) in zip(found.T[:-1], found.T[1:], strict=True))


def test_no_character_is_cut_in_two():
    assert without("aéb", [(2, 4)]) == "aé"
    assert without("aéb", [(0, 2)]) == "éb"


@pytest.mark.parametrize("step", [{"substring_dedup": {"length": 40}}, {"span_dedup": {"unit": "line", "window": 1}}])
def test_cuts_do_not_depend_on_partition_workers_or_memory(corpus, tmp_path, step, monkeypatch):
    from nemo_curator import placement

    common = "\n".join(["It was so all over the country, and nobody knew why."] * 2)
    write_jsonl(corpus / "7.jsonl", [{"text": f"{common}\n{prose(n)}"} for n in range(200, 220)])
    monkeypatch.setattr(placement, "PROCESS_BYTES", 4000)
    runs_of = {
        "plain": {"workers": 1},
        "many": {"workers": 2, "shard_bytes": 1},
        "little": {"workers": 1, "memory_limit": "8KB", "shard_bytes": 1},
    }
    kept = {}
    for name, placed in runs_of.items():
        curate(corpus, tmp_path / name, pipeline=[step], **placed)
        kept[name] = sorted((row["id"], row["text"]) for row in read_folder(tmp_path / name / "data"))
    assert kept["plain"] == kept["many"] == kept["little"]
    assert pq.read_table(tmp_path / "plain/spans").num_rows > 15


def test_a_substring_is_not_too_short():
    with pytest.raises(ConfigError, match="length=4 bytes is too short; 8 is the least"):
        Pipeline.parse([{"substring_dedup": {"length": 4}}])


def test_ranges_of_minimizers_hold_about_as_many_each_so_that_each_fits_into_memory(tmp_path):
    chance = Random(0)
    gather = SubstringDedup(length=100).open()
    gather.add(pa.table({"text": [chance.randbytes(50_000).hex()]}))
    gather.write(tmp_path / "00000.keys")
    count = sum(len(keys) for keys, _ in ranges([tmp_path / "00000.keys"], memory_bytes=0))
    parts = [len(keys) for keys, _ in ranges([tmp_path / "00000.keys"], memory_bytes=count * SORT_BYTES // 4)]
    assert len(parts) >= 4
    assert max(parts) < 1.3 * count / len(parts)
