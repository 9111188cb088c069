"""What an earlier run has seen is dropped, and the filter errs as rarely as it says."""

import numpy as np
import pytest

from nemo_curator import curate
from nemo_curator.cli import main
from nemo_curator.dedup.seen import SeenFilter
from nemo_curator.foundation import artifact
from nemo_curator.foundation.errors import ArtifactError, ConfigError
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl


def kept(folder) -> list[str]:
    return [row["id"] for row in read_folder(folder / "data")]


def test_the_filter_errs_as_rarely_as_it_promises_and_forgets_nothing():
    random = np.random.default_rng(0)
    values = random.integers(0, 2**63, 120_000).astype(np.uint64)
    seen = SeenFilter.empty(recipe="test", capacity=20_000, false_positive_rate=0.01)
    first = seen.add(values[:20_000])
    assert first.mean() < 0.01
    assert seen.head.rate_now == pytest.approx(0.01, rel=0.1)
    before = seen.head.values
    assert seen.add(values[:20_000]).all()
    assert seen.head.values == before
    asked = np.array([seems_known(seen, value) for value in values[20_000:40_000]])
    assert asked.mean() == pytest.approx(0.01, abs=0.003)


def seems_known(filter, value) -> bool:
    """Whether a value seems known, asked of a copy so that nothing is added."""
    return bool(SeenFilter(filter.head, filter._bits.copy()).add(np.array([value]))[0])


def test_a_second_run_drops_what_the_first_one_saw(tmp_path, capsys):
    write_jsonl(tmp_path / "monday/a.jsonl", [{"text": prose(n)} for n in (1, 2, 1)])
    write_jsonl(tmp_path / "tuesday/b.jsonl", [{"text": prose(n)} for n in (3, 2, 4)])
    words = [f"input={tmp_path}/monday", f"output={tmp_path}/first", "capacity=1000"]
    assert main(["dedup", "seen", *words]) == 0
    words = [f"input={tmp_path}/tuesday", f"output={tmp_path}/second", f"seen={tmp_path}/first", "shard_bytes=1"]
    assert main(["dedup", "seen", *words]) == 0
    assert kept(tmp_path / "first") == ["a.jsonl#00000000", "a.jsonl#00000001"]
    assert kept(tmp_path / "second") == ["b.jsonl#00000000", "b.jsonl#00000002"]
    (reject,) = read_folder(tmp_path / "second/rejects")
    assert (reject["reason"], reject["detail"]) == ("seen_before", "of an earlier document or run")
    (stats,) = artifact.read(tmp_path / "second", "documents").stats["comparisons"]
    assert (stats["seen"], stats["remembered"]) == (1, 4)


@pytest.mark.parametrize("unit", ["document", "paragraph", "line"])
def test_workers_and_partition_change_neither_documents_nor_filter(corpus, tmp_path, unit):
    write_jsonl(corpus / "7.jsonl", [{"text": f"{prose(3)}\n\nNow {n}.\n{prose(n)}"} for n in range(6)])
    for name, placed in {"one": {"workers": 1}, "many": {"workers": 2, "shard_bytes": 1}}.items():
        pipeline = [{"seen_dedup": {"unit": unit, "capacity": 5000}}]
        curate(corpus, tmp_path / name, pipeline=pipeline, **placed)
    one, many = (
        [(row["id"], row["text"]) for row in read_folder(tmp_path / name / "data")] for name in ("one", "many")
    )
    assert one == many
    assert (tmp_path / "one/seen/seen.bloom").read_bytes() == (tmp_path / "many/seen/seen.bloom").read_bytes()


def test_paragraphs_seen_before_are_cut(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": "Ours.\n\nMine."}, {"text": "Its.\n\nOurs."}, {"text": "Ours."}])
    curate(tmp_path / "in", tmp_path / "out", pipeline=[{"seen_dedup": {"unit": "paragraph"}}], workers=1)
    assert [row["text"] for row in read_folder(tmp_path / "out/data")] == ["Ours.\n\nMine.", "Its."]


def test_a_filter_of_other_things_or_none_is_refused(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": "Ours."}])
    curate(tmp_path / "in", tmp_path / "first", pipeline=[{"seen_dedup": {"capacity": 10}}], workers=1)
    with pytest.raises(ConfigError, match="remembers every document, not every line"):
        pipeline = [{"seen_dedup": {"unit": "line", "seen": str(tmp_path / "first")}}]
        curate(tmp_path / "in", tmp_path / "out", pipeline=pipeline, workers=1)
    with pytest.raises(ArtifactError, match="no such filter; name the output of a run of seen_dedup"):
        curate(tmp_path / "in", tmp_path / "out", pipeline=[{"seen_dedup": {"seen": str(tmp_path / "in")}}], workers=1)
    damaged = tmp_path / "first/seen/seen.bloom"
    damaged.write_bytes(damaged.read_bytes()[:-8])
    with pytest.raises(ArtifactError, match=r"seen.bloom: cut short"):
        curate(tmp_path / "in", tmp_path / "out", pipeline=[{"seen_dedup": {"seen": str(damaged)}}], workers=1)


def test_an_overfull_filter_is_told(tmp_path, capsys):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": prose(n)} for n in range(30)])
    pipeline = [{"seen_dedup": {"capacity": 20, "false_positive_rate": 0.001}}]
    curate(tmp_path / "in", tmp_path / "out", pipeline=pipeline, workers=1)
    assert "the filter holds 30 texts and was made for 20" in capsys.readouterr().err
