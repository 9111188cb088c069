"""The report draws what happened, and `explain` tells it of one document."""

import json
import re
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nemo_curator import curate
from nemo_curator.cli import main
from nemo_curator.explain import as_text, explain
from nemo_curator.filter.histograms import edges
from nemo_curator.foundation import artifact
from nemo_curator.foundation.errors import ConfigError
from nemo_curator.report import duplicates
from nemo_curator.report.charts import HEIGHT, WIDTH, duration, histogram, pieces, place, share
from nemo_curator.report.page import render
from nemo_curator.report.sections import scores
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl

PIPELINE = ["repair", {"language": {"keep": ["en"]}}, "quality", "exact_dedup", "fuzzy_dedup"]


@pytest.fixture
def documents(corpus, tmp_path):
    rows = [{"text": prose(n % 3)} for n in range(9)]  # 3 groups, each of 3 and of one more in the corpus
    write_jsonl(corpus / "twice.jsonl", rows)
    curate(corpus, tmp_path / "out", pipeline=PIPELINE, workers=1)
    return tmp_path / "out"


def test_groups_of_duplicates_have_the_sizes_that_the_rejects_say(documents):
    stats = artifact.read(documents, "documents").stats
    dropped = Counter(row["detail"] for row in read_folder(documents / "rejects") if row["reason"] == "exact_duplicate")
    expected = Counter(count + 1 for count in dropped.values())
    exact = stats["duplicate_groups"]["exact_duplicate"]
    assert exact["sizes"] == {str(size): count for size, count in sorted(expected.items())}
    assert sum(exact["sizes"].values()) == len(dropped) == 4
    assert exact["largest"][0]["documents"] == max(expected)
    assert f"of {exact['largest'][0]['survivor']}" in dropped


def test_documents_dropped_for_other_reasons_are_in_no_group(tmp_path):
    table = {"id": ["a", "b", "c"], "reason": ["too_few_words", "near_duplicate", "exact_duplicate"]}
    (tmp_path / "rejects").mkdir()
    pq.write_table(pa.table({**table, "detail": ["of x", "jaccard 0.9", "of y"]}), tmp_path / "rejects/p.parquet")
    assert duplicates.groups(tmp_path) == {
        "exact_duplicate": {"sizes": {"2": 1}, "largest": [{"survivor": "y", "documents": 2}]}
    }


def test_every_step_has_its_cost(documents):
    costs = artifact.read(documents, "documents").stats["costs"]
    assert list(costs) == ["read", "repair", "language", "quality", "exact_dedup", "fuzzy_dedup"]
    assert all(cost["seconds"] > 0 for cost in costs.values())
    assert all(10_000_000 < cost["peak_bytes"] < 4_000_000_000 for cost in costs.values())


def test_the_page_has_every_section_and_stands_alone(documents):
    page = (documents / "report.html").read_text()
    titles = re.findall("<h2>(.*?)</h2>", page)
    assert titles == [
        "Where the documents went",
        "Why documents were dropped",
        "Scores and their limits",
        "Languages of what is left",
        "Groups of duplicates",
        "What each step cost",
        "Pipeline",
    ]
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"<(script|link|img|iframe)|https?://|url\(", page)


def test_limits_of_language_and_classifiers_are_drawn():
    pipeline = [
        {"language": {"keep": ["en"], "threshold": 0.3}},
        {"fasttext": {"model": "q.bin", "keep": "above", "column": "hq", "min_score": 0.25}},
        {"fasttext": {"model": "q.bin", "keep": "pareto", "column": "sampled", "min_score": 0.25}},
        {"classify": {"model": "m", "family": "fineweb_edu", "min_score": 3.0}},
    ]
    counts = [5] * 20
    names = ("language_score", "hq", "sampled", "fineweb_edu_score")
    drawn = scores({"histograms": dict.fromkeys(names, counts)}, {"pipeline": pipeline})
    captions = [re.sub("<.*?>", "", each).strip() for each in re.findall("<figcaption>(.*?)</figcaption>", drawn)]
    assert captions == ["language score ≥ 0.3", "hq ≥ 0.25", "fineweb edu score ≥ 3", "sampled"]


def test_passages_replaced_are_counted_by_kind(tmp_path):
    rows = [{"text": "Write to ann@mail.com or bob@mail.com."}, {"text": "Ask cat@mail.com at 8.8.8.8."}]
    write_jsonl(tmp_path / "in/a.jsonl", rows)
    curate(tmp_path / "in", tmp_path / "out", pipeline=["redact"], workers=1)
    assert artifact.load_manifest(tmp_path / "out").stats["changes"] == {"email": 3, "ip_address": 1}
    page = (tmp_path / "out/report.html").read_text()
    assert "<h2>Personal data replaced</h2>" in page
    assert main(["redact", f"input={tmp_path}/in", f"output={tmp_path}/again"]) == 0
    assert artifact.load_manifest(tmp_path / "again").stats["changes"] == {"email": 3, "ip_address": 1}


def test_bars_never_leave_their_frame(documents):
    page = (documents / "report.html").read_text()
    for bar in re.findall('<span class="bar">(.*?)</span>', page):
        assert sum(float(width) for width in re.findall(r"width:([\d.]+)%", bar)) <= 100.1


def test_an_older_manifest_is_drawn_beside_its_artifact_and_leaves_it_whole(documents, tmp_path, capsys):
    manifest = json.loads((documents / "manifest.json").read_text())
    costs = manifest["stats"].pop("costs")
    del manifest["stats"]["duplicate_groups"], manifest["stats"]["wall_seconds"]
    manifest["stats"]["seconds"] = {name: cost["seconds"] for name, cost in costs.items()}
    manifest["config"]["pipeline"][2]["quality"]["a_setting_that_is_gone"] = 3
    (documents / "manifest.json").write_text(json.dumps(manifest))
    assert main(["report", f"documents={documents}"]) == 0
    page = (tmp_path / "out.html").read_text()
    assert "Groups of duplicates" in page
    assert "What each step cost" in page
    assert json.loads(capsys.readouterr().out) == {"report": str(tmp_path / "out.html")}
    artifact.read(documents, "documents")
    assert main(["report", f"documents={documents}"]) == 2
    assert "out.html: exists already" in capsys.readouterr().err


def test_a_run_without_documents_has_a_page():
    stats = {"documents_in": 0, "documents_out": 0, "bytes_in": 0, "bytes_out": 0, "funnel": [], "examples": {},
             "languages": {}, "histograms": {}, "costs": {}}  # fmt: skip
    assert "0 of 0 documents kept" in render(stats, {"pipeline": []})


def test_a_limit_stands_where_its_value_does():
    bins = edges("duplicate_lines")
    assert place(bins, 0.3) == pytest.approx(0.3 * WIDTH)
    assert (place(bins, -1), place(bins, 2)) == (0, WIDTH)
    words = edges("words")
    assert place(words, words[3]) == pytest.approx(3 * WIDTH / (len(words) - 1))


def test_a_column_is_cut_where_a_limit_runs_through_it():
    bins = [0.0, 0.5, 1.0]
    assert pieces(0, 120, bins, low=0.25, high=None) == [(0, 60, "out"), (60, 120, "in")]
    assert pieces(0, 120, bins, low=None, high=0.25) == [(0, 60, "in"), (60, 120, "out")]
    assert pieces(120, 240, bins, low=None, high=0.25) == [(120, 240, "out")]
    assert pieces(0, 120, bins, low=None, high=None) == [(0, 120, "in")]


def test_a_limit_on_a_number_of_things_keeps_the_number_itself():
    drawn = histogram("stop_words", [5, 4, 3, 2, 1, 0, 0, 0, 0], low=2, high=None)
    colours = re.findall(r'rect class="(\w+)"', drawn)
    assert colours == ["out", "out", "in", "in", "in"]
    assert max(float(y) for y in re.findall(r'height="([\d.]+)"', drawn)) < HEIGHT


def test_figures_read_as_people_write_them():
    assert [duration(s) for s in (0, 0.02, 4.25, 61, 3725)] == ["0.0 s", "20 ms", "4.2 s", "1 min 1 s", "1 h 2 min"]
    assert [share(*of) for of in ((0, 0), (1, 10_000), (1, 3), (9999, 10_000), (5, 5))] == [
        "0.0 %", "< 0.1 %", "33.3 %", "> 99.9 %", "100.0 %"
    ]  # fmt: skip


def test_explain_shows_the_score_that_a_document_failed_by(documents):
    told = explain(documents, "4.jsonl#00000022")
    assert [(step["step"], step["outcome"]) for step in told["steps"]] == [
        ("read", "passed"),
        ("repair", "passed"),
        ("language", "passed"),
        ("quality", "dropped"),
        ("exact_dedup", "not reached"),
        ("fuzzy_dedup", "not reached"),
    ]
    failed = [score for score in told["steps"][3]["scores"] if not score["within"]]
    assert failed[0] == {"score": "words", "value": 12, "min": 50, "max": 100_000, "within": False}
    assert told["steps"][2]["language"] == "en"
    text = as_text(told)
    assert "was dropped: too few words (words 12, min_words 50)" in text
    assert "! words 12 (min 50 max 100000)" in text


def test_explain_names_the_group_of_a_duplicate_from_either_side(documents):
    dropped = next(row for row in read_folder(documents / "rejects") if row["reason"] == "exact_duplicate")
    survivor = dropped["detail"].removeprefix("of ")
    from_dropped, from_survivor = explain(documents, dropped["id"]), explain(documents, survivor)
    assert from_dropped["duplicates"] == from_survivor["duplicates"]
    assert from_dropped["duplicates"]["survivor"] == survivor
    assert dropped["id"] in from_dropped["duplicates"]["dropped"]
    assert from_dropped["duplicates"]["documents"] == len(from_dropped["duplicates"]["dropped"]) + 1
    assert f"{survivor} stays; these went:" in as_text(from_survivor)


def test_explain_says_where_scores_cannot_be_computed_again(corpus, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("the\nof\nand\n")
    quality = {"quality": {"preset": "none", "min_stop_words": 2, "stop_words": str(words)}}
    curate(corpus, tmp_path / "out", pipeline=[quality], workers=1)
    words.unlink()
    told = explain(tmp_path / "out", "1.jsonl#00000002")
    assert "words.txt" in told["steps"][1]["scores_missing"]
    assert "cannot be computed again" in as_text(told)


def test_a_report_needs_figures(documents):
    manifest = json.loads((documents / "manifest.json").read_text())
    del manifest["stats"]["funnel"]
    (documents / "manifest.json").write_text(json.dumps(manifest))
    from nemo_curator.recipe import Report
    from nemo_curator.report.again import run

    with pytest.raises(ConfigError, match="has no figures to draw"):
        run(Report(documents=documents))


def test_english_stop_words_say_so_where_they_cost_texts_of_other_languages(tmp_path, capsys):
    german = " ".join(["Der schnelle braune Fuchs springt über den faulen Hund, und dann schläft er ein."] * 3)
    write_jsonl(tmp_path / "mixed.jsonl", [{"text": german}, {"text": prose(1)}])
    quality = {"preset": "none", "min_stop_words": 2}
    curate(tmp_path / "mixed.jsonl", tmp_path / "lost", pipeline=["language", {"quality": quality}], workers=1)
    hint = "of the documents with too few stop words, 1 are not in English (de 1), whose stop words were counted"
    assert hint in capsys.readouterr().err
    assert hint in (tmp_path / "lost/report.html").read_text()
    steps = ["language", {"quality": {**quality, "stop_word_language": "auto"}}]
    assert curate(tmp_path / "mixed.jsonl", tmp_path / "kept", pipeline=steps, workers=1).documents_out == 2
    assert "not in English" not in capsys.readouterr().err


def test_large_figures_are_written_out_in_details(tmp_path):
    write_jsonl(tmp_path / "long.jsonl", [{"text": "word " * 123456}])
    curate(tmp_path / "long.jsonl", tmp_path / "out", pipeline=[{"quality": {"preset": "none", "max_words": 1e5}}])
    assert read_folder(tmp_path / "out/rejects")[0]["detail"] == "words 123456, max_words 100000"
