"""A run makes a whole artifact, the same one however it is cut up or cut off, or explains why not."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter

import pyarrow.parquet as pq
import pytest

from nemo_curator import Pipeline, curate
from nemo_curator.cli import main
from nemo_curator.document import REJECT_SCHEMA, SCHEMA
from nemo_curator.foundation import artifact
from nemo_curator.foundation.errors import ArtifactError, ConfigError, InputError
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl

PIPELINE = ["extract", "repair", {"language": {"keep": ["en"]}}, "quality", "exact_dedup", "fuzzy_dedup"]


def digest(output):
    return artifact.read(output, "documents").digest


def test_every_document_is_kept_or_dropped_for_a_reason(corpus, tmp_path):
    (corpus / "page.html").write_text(f"<html><head><title>Hey</title></head><body><p>{prose(900)}</p></body></html>")
    result = curate(corpus, tmp_path / "out", pipeline=PIPELINE, workers=1)
    assert (result.documents_in, result.documents_out) == (124, 121)
    assert result.dropped == {"exact_duplicate": 1, "near_duplicate": 1, "too_few_words": 1}
    kept, rejects = read_folder(tmp_path / "out/data"), read_folder(tmp_path / "out/rejects")
    assert len(kept) + len(rejects) == 124
    assert len({row["id"] for row in kept + rejects}) == 124
    assert Counter(row["reason"] for row in rejects) == Counter(result.dropped)
    assert all(row["language"] == "en" and row["language_score"] > 0.65 for row in kept)
    (page,) = [row for row in kept if row["id"].startswith("page")]
    assert (page["title"], page["source"]) == ("Hey", "page.html")
    assert {row["source_id"] for row in kept if row["id"] == "2.jsonl#00000007"} == {"own-2-7"}


def test_files_and_stats_have_the_promised_form(corpus, tmp_path):
    curate(corpus, tmp_path / "out", pipeline=PIPELINE, workers=1)
    manifest = artifact.read(tmp_path / "out", "documents")
    for file in (tmp_path / "out/data").iterdir():
        assert pq.read_schema(file).equals(SCHEMA)
    for file in (tmp_path / "out/rejects").iterdir():
        assert pq.read_schema(file).equals(REJECT_SCHEMA)
    stats = manifest.stats
    assert [step["step"] for step in stats["funnel"]] == [
        "read", "extract", "repair", "language", "quality", "exact_dedup", "fuzzy_dedup"
    ]  # fmt: skip
    counts = [stats["documents_in"]]
    for step in stats["funnel"]:
        counts.append(counts[-1] - sum(step["dropped"].values()))
        assert step["documents"] == counts[-1]
    assert counts[-1] == stats["documents_out"]
    assert stats["bytes_out"] == sum(len(row["text"].encode()) for row in read_folder(tmp_path / "out/data"))
    assert stats["languages"] == {"en": stats["documents_out"]}
    assert stats["examples"]["too_few_words"][0]["excerpt"].startswith("This is too short")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["data", "manifest.json", "rejects", "report.html"]


def test_the_report_shows_reasons_examples_and_no_outside_address(corpus, tmp_path):
    write_jsonl(corpus / "evil.jsonl", [{"text": "<script>alert(1)</script>", "title": "<b>"}])
    curate(corpus, tmp_path / "out", pipeline=PIPELINE, workers=1)
    page = (tmp_path / "out/report.html").read_text()
    assert "121" not in page.split("<h1>")[0].split("<style>")[0] or "documents kept" in page
    assert "near duplicate" in page
    assert "This is too short" in page
    assert "&lt;script&gt;alert" in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_workers_do_not_change_the_result(corpus, tmp_path):
    curate(corpus, tmp_path / "one", pipeline=PIPELINE, workers=1, shard_bytes=1)
    curate(corpus, tmp_path / "two", pipeline=PIPELINE, workers=2, shard_bytes=1)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_documents_can_be_curated_again(corpus, tmp_path):
    curate(corpus, tmp_path / "first", pipeline=["repair"], workers=1)
    result = curate(tmp_path / "first", tmp_path / "second", pipeline=["quality"], workers=1)
    assert result.documents_in == 123
    assert result.dropped == {"too_few_words": 1}


SHORT = ["repair", "exact_dedup", "fuzzy_dedup"]
KILLED = """
import sys
from pathlib import Path
from nemo_curator import curate
curate(sys.argv[1], sys.argv[2], pipeline={pipeline}, workers=2, shard_bytes=1)
"""


@pytest.mark.parametrize("finished", [1, 7, 13])
def test_a_killed_run_is_continued_to_the_same_bytes(corpus, tmp_path, finished):
    curate(corpus, tmp_path / "whole", pipeline=SHORT, workers=1, shard_bytes=1)
    script = tmp_path / "script.py"
    script.write_text(KILLED.format(pipeline=SHORT))
    process = subprocess.Popen([sys.executable, script, corpus, tmp_path / "out"], stderr=subprocess.DEVNULL)
    work = tmp_path / "out.partial/work"
    while len(list(work.glob("segment-*/[0-9]*[0-9].json"))) < finished and process.poll() is None:
        try:
            process.wait(timeout=0.005)
        except subprocess.TimeoutExpired:
            continue
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out").exists()
    before = {p: p.stat().st_mtime_ns for p in work.glob("segment-0/*.json")}
    curate(corpus, tmp_path / "out", pipeline=SHORT, workers=1, shard_bytes=1)
    assert before
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


def test_ctrl_c_ends_at_once_and_the_same_command_continues(corpus, tmp_path):
    words = [
        "run",
        f"input={corpus}",
        f"output={tmp_path}/out",
        "workers=2",
        "shard_bytes=1",
        "pipeline=[repair, exact_dedup, fuzzy_dedup]",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "nemo_curator", *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not list(tmp_path.glob("out.partial/work/segment-0/*.json")) and process.poll() is None:
        try:
            process.wait(timeout=0.005)
        except subprocess.TimeoutExpired:
            continue
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; the same command continues" in said
    assert "Traceback" not in said
    assert main([*words, "workers=1"]) == 0
    curate(corpus, tmp_path / "whole", pipeline=SHORT, workers=1, shard_bytes=1)
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")


def test_a_failed_run_leaves_nothing_under_the_final_name_and_finished_shards_are_not_done_again(
    corpus, tmp_path, monkeypatch
):
    from nemo_curator.shards import work

    real, done = work.curate_shard, []

    def breaks_at_the_fourth(**call):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(call["shard"])
        return real(**call)

    monkeypatch.setattr(work, "curate_shard", breaks_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        curate(corpus, tmp_path / "out", pipeline=["repair"], workers=1, shard_bytes=1)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(work, "curate_shard", lambda **call: (done.append(call["shard"]), real(**call))[1])
    curate(corpus, tmp_path / "out", pipeline=["repair"], workers=1, shard_bytes=1)
    assert done == [0, 1, 2, 3, 4, 5]


def mounted(folder, size):
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_with_75_and_the_run_continues_when_there_is_room(corpus, tmp_path, capsys, workers):
    small = tmp_path / "small"
    mounted(small, "40k")
    words = ["run", f"input={corpus}", f"output={small}/out", f"workers={workers}", "shard_bytes=1"]
    words.append("pipeline=[repair]")
    try:
        assert main(words) == 75
        assert "no space left while writing" in capsys.readouterr().err
        assert not (small / "out").exists()
        subprocess.run(["mount", "-o", "remount,size=10M", str(small)], check=True)
        assert main(words) == 0
        artifact.read(small / "out", "documents")
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (["extract", "fuzy_dedup"], r"pipeline\[1\]: unknown step 'fuzy_dedup'; did you mean 'fuzzy_dedup'\?"),
        (
            [{"quality": {"min_wrds": 3}}],
            r"pipeline\[0\] \(quality\): unknown key 'min_wrds'; did you mean 'min_words'",
        ),
        (
            [{"quality": {"min_words": 9, "max_words": 2}}],
            r"pipeline\[0\] \(quality\): .*min_words=9 is above max_words=2",
        ),
        ([{"quality": {"preset": "gofer"}}], r"invalid enum value 'gofer'; did you mean 'gopher'\? \(one of gopher, "),
        ([{"language": {"threshold": 2}}], r"pipeline\[0\] \(language\): threshold: expected `float` <= 1"),
        ([{"language": {"keep": ["English"]}}], r"pipeline\[0\] \(language\): keep: expected `str` matching regex"),
        (["repair", "extract"], r"extract comes first"),
        ([], r"pipeline: has no step; choose from extract, "),
        ([{"repair": {}, "quality": {}}], r"is no step; write a name"),
        ([{"repair": 3}], r"the settings of 'repair' are a mapping, not 3"),
    ],
)
def test_mistakes_in_a_pipeline_are_named(pipeline, message):
    with pytest.raises(ConfigError, match=message):
        Pipeline.parse(pipeline)


def test_a_pipeline_written_out_reads_back_the_same():
    pipeline = Pipeline.parse(PIPELINE)
    assert Pipeline.parse(pipeline.plain()) == pipeline


def test_html_needs_the_extract_step(tmp_path):
    (tmp_path / "a.html").write_text("<p>x")
    with pytest.raises(ConfigError, match=r"a.html holds HTML; put extract first"):
        curate(tmp_path, tmp_path / "out", pipeline=["repair"])


def test_wrong_places_are_refused(corpus, tmp_path):
    with pytest.raises(InputError, match="absent: no such file or folder"):
        curate(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ArtifactError, match="taken: exists already"):
        curate(corpus, tmp_path / "taken", pipeline=["repair"], workers=1)
    assert not list((tmp_path / "taken").iterdir())


def test_an_input_without_one_good_record_still_reports(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", ["nothing", "of", "this"])
    result = curate(tmp_path / "in", tmp_path / "out", pipeline=PIPELINE, workers=1)
    assert (result.documents_out, result.dropped) == (0, {"not_json": 3})
    assert [row["text"] for row in read_folder(tmp_path / "out/rejects")] == ["nothing\n", "of\n", "this\n"]


def test_recipe_and_command_line(corpus, tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("pipeline:\n  - repair\n  - quality: {preset: none, min_words: 13}\nworkers: 1\n")
    assert main(["run", str(recipe), f"input={corpus}", f"output={tmp_path}/out"]) == 0
    assert json.loads(capsys.readouterr().out)["dropped"] == {"too_few_words": 1}
    assert main(["explain", "4.jsonl#00000022", f"documents={tmp_path}/out"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["outcome"], told["reason"], told["detail"]) == ("dropped", "too_few_words", "words 12, min_words 13")
    assert main(["explain", "own-1-2", f"documents={tmp_path}/out"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "kept"
    assert main(["explain", "nobody", f"documents={tmp_path}/out"]) == 2
    assert "id=nobody: not among the documents" in (said := capsys.readouterr().err) and "; ids look like '" in said


def test_a_dead_worker_is_a_retryable_error():
    from nemo_curator.shards.pool import Worker, WorkerDiedError

    worker = Worker()
    try:
        with pytest.raises(WorkerDiedError, match="was ended by SIGKILL"):
            worker.call("subprocess:run", {"args": ["sh", "-c", "kill -9 $PPID"]})
    finally:
        worker.close()


@pytest.mark.parametrize(
    "words",
    [["--help"], ["run", "--help"], ["acquire", "--help"], ["questions", "--help"], ["dedup", "fuzzy", "--help"]],
)
def test_help_loads_nothing_heavy(words):
    code = (
        "import sys; from nemo_curator.cli import main; main(sys.argv[1:]); "
        "heavy = ('torch', 'pandas', 'pyarrow', 'numpy', 'dask', 'resiliparse', 'ftfy'); "
        "print([m for m in heavy if m in sys.modules], file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert found.stderr.strip() == "[]"
    assert "nemo-curator" in found.stdout


def test_a_run_that_keeps_nothing_says_why(tmp_path, capsys):
    write_jsonl(tmp_path / "in/a.jsonl", [{"body": "x"}, {"body": "y"}])
    for words in (["run", "pipeline=[exact_dedup]"], ["filter"]):
        assert main([*words, f"input={tmp_path}/in", f"output={tmp_path}/{words[0]}"]) == 0
        said = capsys.readouterr().err
        assert "no document stays of 2, most went for missing_text (a.jsonl:1: no 'text'; its fields: body)" in said


@pytest.mark.parametrize("command", ["run", "filter", "shuffle", "plan"])
def test_places_that_nothing_can_be_written_in_or_read_from_are_named(tmp_path, capsys, command):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": "x"}])
    assert main([command, f"input={tmp_path}/in/*.jsonl", f"output={tmp_path}/out"]) == 2
    assert "no such file or folder; a pattern is not expanded: name the folder" in capsys.readouterr().err
    if command != "plan":
        assert main([command, f"input={tmp_path}/in", f"output={tmp_path}/in/a.jsonl/out"]) == 2
        assert f"cannot be written, because {tmp_path}/in/a.jsonl is no folder" in capsys.readouterr().err
    assert main([command, "input=*.jsonl", f"output={tmp_path}/out"]) == 2
    assert "'input=*.jsonl' is no YAML; quote it" in capsys.readouterr().err
