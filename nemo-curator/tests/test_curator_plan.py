"""A plan comes near what the run then takes, and an unfinished run goes on from its own settings."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from nemo_curator import Pipeline, curate, plan
from nemo_curator.cli import main
from nemo_curator.estimate.advice import idle_workers, wasteful_order
from nemo_curator.estimate.command import as_text
from nemo_curator.estimate.counting import CountedFile
from nemo_curator.estimate.figures import Machine, doubt, estimate, makespan
from nemo_curator.estimate.rehearsal import Performance, Rehearsal
from nemo_curator.estimate.sample import spaced
from nemo_curator.estimate.stage import Held
from nemo_curator.foundation import artifact
from nemo_curator.foundation.errors import ConfigError, InputError
from nemo_curator.read.files import InputFile, list_input
from nemo_curator.recipe import Resume
from nemo_curator.recipes import about, ready, texts
from nemo_curator.resume import run as resume
from nemo_curator.testing.corpora import prose, write_jsonl

STEPS = ["repair", "quality", "exact_dedup", "fuzzy_dedup"]


def planned(corpus, tmp_path, **changes):
    return plan(corpus, tmp_path / "out", **{"pipeline": STEPS, "workers": 1, **changes})


def test_a_plan_from_the_whole_input_counts_what_the_run_counts(corpus, tmp_path):
    told = planned(corpus, tmp_path)
    curate(corpus, tmp_path / "out", pipeline=STEPS, workers=1)
    stats = artifact.read(tmp_path / "out", "documents").stats
    assert told["documents"] == stats["documents_in"] == 123
    assert told["bytes"] == stats["bytes_in"]
    funnel = {step["step"]: step for step in stats["funnel"]}
    for step in told["steps"]:
        found = funnel[step["step"]]
        assert (step["documents"], step["text_bytes"]) == (found["documents"], found["bytes"])
        assert step["dropped"] == sum(found["dropped"].values())
    assert [step["step"] for step in told["steps"]] == list(funnel)
    size = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.suffix != ".json")
    assert size * 0.75 < told["output_bytes"] < size * 1.1
    assert told["warnings"] == []
    assert (told["files"], told["shards"], told["sampled_share"]) == (6, 1, 1.0)


def test_nothing_is_written(corpus, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    planned(corpus, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["large.jsonl", "large.jsonl.gz"])
def test_a_plan_from_a_part_of_a_large_file_comes_near(tmp_path, name):
    random = Random(0)
    texts = [f"{prose(n)} {random.randbytes(200).hex()}" for n in range(10_000)]
    write_jsonl(tmp_path / "in" / name, [{"text": text} for text in texts])
    told = planned(tmp_path / "in", tmp_path, sample_bytes=1_000_000, pipeline=["repair"])
    assert told["sampled_share"] < 0.3
    assert told["documents"] == pytest.approx(10_000, rel=0.15)
    text = sum(map(len, texts))
    assert told["steps"][-1]["text_bytes"] == pytest.approx(text, rel=0.15)


def test_the_output_has_about_the_size_that_was_foreseen(corpus, tmp_path):
    told = planned(corpus, tmp_path, pipeline=["repair"], shard_bytes=1)
    curate(corpus, tmp_path / "out", pipeline=["repair"], workers=1, shard_bytes=1)
    size = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.suffix != ".json")
    assert size / 2 < told["output_bytes"] < 2 * size + 6 * 20_000  # a report is counted with every shard


def test_the_curve_is_that_of_the_bands(corpus, tmp_path):
    told = planned(corpus, tmp_path, pipeline=[{"fuzzy_dedup": {"bands": 14, "rows": 8}}])
    (lsh,) = told["lsh"]
    assert lsh["found"]["0.8"] == pytest.approx(1 - (1 - 0.8**8) ** 14, abs=1e-4)
    assert "14 bands of 8" in as_text(told)
    assert f"{1 - (1 - 0.7**8) ** 14:.1%}" in as_text(told)


def performed(documents, *, size, whole=False, **figures):
    """What `documents` took that are `size` bytes in memory and half of that in their files."""
    steps = [
        {"step": "read", "documents": documents, "bytes": size, "dropped": {}},
        {"step": "repair", "documents": documents // 2, "bytes": size // 2, "dropped": {"poor": documents // 2}},
    ]
    return Performance(
        read_bytes=size,
        stored_bytes=size // 2,
        whole=whole,
        documents=documents,
        funnel=steps,
        costs={"read": 0.1, "repair": 0.2},
        **{
            "shard_seconds": 0.0, "together_seconds": 0.0, "closing_seconds": 0.0, "work_bytes": 0, "output_bytes": 0,
            "sorted_keys": 0, **figures,
        },
    )  # fmt: skip


def held(few, many, *, whole=False):
    rehearsal = Rehearsal(cold_seconds=3.0, few=few, many=many, peak_bytes=50_000_000)
    return Held(load_seconds=1.0, loaded_bytes=10_000_000, rehearsals=[rehearsal], covers_all_files=whole)


def test_what_a_shard_costs_is_told_from_what_a_byte_costs():
    few = performed(10, size=1_000, shard_seconds=0.6, output_bytes=1_100, work_bytes=500)
    many = performed(100, size=10_000, shard_seconds=1.5, output_bytes=2_000, work_bytes=5_000, sorted_keys=100)
    machine = Machine(workers=2, free_disk_bytes=10**9, free_memory_bytes=10**9)
    found = estimate(held(few, many), total_bytes=500_000, shards=[1] * 20, machine=machine)
    assert (found.documents, found.sampled_share) == (10_000, 0.01)
    assert [(step.documents, step.dropped) for step in found.steps] == [(10_000, 0), (5_000, 5_000)]
    assert found.output_bytes == 20 * 1_000 + 1_000_000 // 10
    assert found.work_bytes == 1_000_000 // 2
    spread = (20 * 0.5 + 1_000_000 * 0.9 / 9_000) / 2
    assert found.seconds == pytest.approx(2 * 1.0 + 3.0 + spread, abs=0.1)
    assert found.least_seconds < found.seconds < found.most_seconds
    assert found.memory_bytes == 2 * 50_000_000 + 10_000_000 + 48 * 100 * 100
    alone = estimate(held(few, many), total_bytes=500_000, shards=[20], machine=machine)
    assert alone.memory_bytes == 50_000_000 + 48 * 100 * 100
    assert alone.seconds == pytest.approx(1.0 + 3.0 + 0.5 + 1_000_000 * 0.9 / 9_000, abs=0.1)


def test_comparing_takes_longer_among_more_and_sorts_within_its_memory():
    few, many = performed(8, size=100), performed(64, size=1000, together_seconds=1.0, sorted_keys=64)
    machine = Machine(workers=1, free_disk_bytes=0, free_memory_bytes=0, sorting_bytes=1_000)
    found = estimate(held(few, many), total_bytes=500 * 64, shards=[1], machine=machine)
    assert found.together_seconds == pytest.approx(64 * 2)  # log2(64 * 64) is twice log2(64)
    assert found.memory_bytes == 50_000_000 + 1_000


def test_more_is_repeated_in_the_whole_than_in_a_part_of_it():
    def cutting(size, *, left, seconds):
        steps = [
            {"step": name, "documents": 9, "bytes": found, "dropped": {}}
            for name, found in (("read", size), ("substring_dedup", left))
        ]
        return replace(performed(9, size=size, shard_seconds=seconds), funnel=steps)

    few, many = cutting(100, left=100, seconds=0.0), cutting(1_000, left=990, seconds=1.0)
    twice = cutting(500, left=250, seconds=5.0)
    machine = Machine(workers=1, free_disk_bytes=0, free_memory_bytes=0)
    rehearsal = Rehearsal(cold_seconds=0.0, few=few, many=many, peak_bytes=0, repeated=twice)
    told = replace(held(few, many), rehearsals=[rehearsal], load_seconds=0.0)
    found = estimate(told, total_bytes=500 * 20, shards=[1], machine=machine)
    expected_cut = 0.01 * 20
    assert found.seconds == pytest.approx(20 * 1.0 + 2 * (expected_cut - 0.01) * (20 * 10.0 - 20.0), rel=0.01)


def test_what_was_tried_whole_is_not_scaled():
    few, many = performed(8, size=100, output_bytes=400), performed(64, size=1000, whole=True, output_bytes=700)
    machine = Machine(workers=1, free_disk_bytes=0, free_memory_bytes=0)
    found = estimate(held(few, many, whole=True), total_bytes=123, shards=[1], machine=machine)
    assert (found.documents, found.output_bytes, found.sampled_share) == (64, 700, 1.0)


def test_a_large_shard_keeps_the_others_waiting():
    assert makespan(100.0, [97, 1, 2], 2) == pytest.approx(97)
    assert makespan(100.0, [1] * 10, 2) == pytest.approx(50)
    assert makespan(100.0, [1, 1, 1], 2) == pytest.approx(200 / 3)
    assert makespan(100.0, [0, 0], 4) == 100.0


def test_less_is_promised_the_less_was_tried():
    assert doubt(1.0) < doubt(0.5) < doubt(0.1) < doubt(0.01) <= 1.8


def test_a_plan_without_a_sample_says_what_it_knows(corpus, tmp_path):
    told = planned(corpus, tmp_path, sample=False)
    assert (told["files"], told["shards"], len(told["lsh"])) == (6, 1, 1)
    assert "seconds" not in told
    assert "nothing was measured (sample=false)" in as_text(told)


def test_a_plan_says_how_sure_it_is(corpus, tmp_path):
    text = as_text(planned(corpus, tmp_path))
    assert "about 123 documents (all were tried)" in text
    assert "upper bounds" not in text
    assert re.search(r"time +\S+ \S+ to \S+ \S+ with 1 workers: start ", text)


@pytest.mark.parametrize("step", ["fuzzy_dedup", "substring_dedup", "span_dedup", "seen_dedup", "exact_dedup"])
def test_every_deduplication_is_rehearsed_to_its_end(corpus, tmp_path, step):
    settings = {"seen_dedup": {"capacity": 1000}, "substring_dedup": {"length": 60}}.get(step, {})
    told = planned(corpus, tmp_path, pipeline=[{step: settings}], workers=2, shard_bytes=1)
    result = curate(corpus, tmp_path / "out", pipeline=[{step: settings}], workers=1, shard_bytes=1)
    assert told["steps"][-1]["documents"] == result.documents_out
    assert told["work_bytes"] > 0
    assert [path.name for path in tmp_path.iterdir() if "plan" in path.name] == []


def test_what_is_unwise_is_said():
    wasteful = list(wasteful_order(Pipeline.parse(["fuzzy_dedup", "exact_dedup", "quality", "language"])))
    assert "put exact_dedup before fuzzy_dedup: equal texts are found much more cheaply than similar ones" in wasteful
    assert any(text.startswith("put language before quality") for text in wasteful)
    for name in texts():
        assert list(wasteful_order(Pipeline.parse(name))) == []


def test_a_file_that_one_worker_reads_while_others_wait_is_named(tmp_path):
    files = [
        InputFile(path=tmp_path, name=f"{n}.jsonl", format="jsonl", num_bytes=size)
        for n, size in enumerate((10, 970, 20))
    ]
    assert list(idle_workers(files, 2)) == [
        "1.jsonl holds 97 % of the input and is read by one worker; cut it into smaller files"
    ]
    assert list(idle_workers(files, 1)) == []


def test_too_little_disk_and_an_output_in_the_way_are_said(corpus, tmp_path, monkeypatch):
    from nemo_curator.estimate import command

    (tmp_path / "out").mkdir()
    machine = Machine(workers=1, free_disk_bytes=10, free_memory_bytes=10)
    monkeypatch.setattr(command, "this_machine", lambda settings: machine)
    warnings = " ".join(planned(corpus, tmp_path)["warnings"])
    assert "the disk of the output has 10 B free" in warnings
    assert "10 B of memory are free" in warnings
    assert "out exists already" in warnings


def test_a_plan_says_when_nothing_would_stay(corpus, tmp_path):
    told = planned(corpus, tmp_path, pipeline=[{"quality": {"min_words": 5000}}])
    assert told["warnings"] == ["no document of the sample passes quality, which dropped 123; look at its settings"]


def test_samples_lie_evenly_and_skip_empty_files(tmp_path):
    files = [InputFile(path=tmp_path, name=f"{n:03d}.jsonl", format="jsonl", num_bytes=n % 2) for n in range(100)]
    chosen = spaced(files)
    assert len(chosen) == 8
    assert all(file.num_bytes for file in chosen)
    gaps = {int(b.name[:3]) - int(a.name[:3]) for a, b in pairwise(chosen)}
    assert gaps <= {12, 14}


def test_a_counted_file_knows_how_much_was_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(bytes(300_000))
    file = CountedFile.of(list_input(tmp_path).files[0])
    with file.open() as handle:
        assert len(handle.read(10)) == 10
    assert 10 <= file.read_bytes <= 1 << 17
    with file.open() as handle:
        handle.seek(0)
        assert len(handle.read()) == 300_000
    assert file.read_bytes == 300_000


def test_plan_takes_the_words_of_run(corpus, tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"pipeline: minimal\ninput: {corpus}\noutput: {tmp_path}/out\n")
    assert main(["plan", str(recipe), "workers=1"]) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 123
    assert main(["run", str(recipe), "workers=1"]) == 0
    assert json.loads(capsys.readouterr().out)["documents_in"] == 123


@pytest.mark.parametrize("name", ["c4", "code", "fineweb", "gopher", "minimal", "nemo"])
def test_every_ready_pipeline_runs(corpus, tmp_path, name, capsys):
    result = curate(corpus, tmp_path / "out", pipeline=name, workers=1)
    assert result.documents_in == 123
    assert len(about(texts()[name])) > 40
    assert main(["pipelines", name]) == 0
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(capsys.readouterr().out)
    assert main(["run", str(recipe), "--print-config", "input=a", "output=b"]) == 0
    assert json.loads(capsys.readouterr().out)["pipeline"] == ready(name)


def test_an_unknown_pipeline_is_named(capsys):
    with pytest.raises(ConfigError, match=r"pipeline: unknown name 'finweb'; did you mean 'fineweb'\? \(ready: c4, "):
        Pipeline.parse("finweb")
    assert main(["pipelines"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == sorted(texts())


def killed(words, folder, work, *, finished):
    """Begin a command in `folder` and kill it when some of its shards are done."""
    command = [sys.executable, "-m", "nemo_curator", *words]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=folder)
    while sum(path.stem.isdigit() for path in work.rglob("*.json")) < finished and process.poll() is None:
        try:
            process.wait(timeout=0.005)
        except subprocess.TimeoutExpired:
            continue
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def unfinished(corpus, tmp_path):
    words = ["run", "input=corpus", "output=out", "workers=2", "shard_bytes=1"]
    killed([*words, f"pipeline={json.dumps(STEPS)}"], tmp_path, tmp_path / "out.partial/work", finished=3)
    assert not (tmp_path / "out").exists()
    return tmp_path / "out"


def test_an_unfinished_run_goes_on_from_its_own_settings(corpus, unfinished, tmp_path, capsys, monkeypatch):
    work = tmp_path / "out.partial/work"
    done = {path: path.stat().st_mtime_ns for path in work.glob("segment-0/[0-9]*[0-9].json")}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert done
    assert main(["resume", "../out", "workers=1"]) == 0
    said = capsys.readouterr()
    assert f"part 0: {len(done)} of 6 shards" in said.err
    assert json.loads(said.out)["documents_in"] == 123
    curate(corpus, tmp_path / "whole", pipeline=STEPS, workers=1, shard_bytes=1)
    whole, continued = (artifact.read(path, "documents") for path in (tmp_path / "whole", tmp_path / "out"))
    assert continued.digest == whole.digest
    assert continued.stats["resumed"] is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: (c / "1.jsonl").unlink(), "input=corpus changed since the run began: 1.jsonl is gone; bring it"),
        (lambda c: write_jsonl(c / "7.jsonl", [{"text": "x"}]), "7.jsonl is new"),
        (lambda c: write_jsonl(c / "1.jsonl", [{"text": "x"}]), r"1.jsonl has 14 bytes, not \d+"),
        (lambda c: os.utime(c / "1.jsonl", ns=(1, 1)), "corpus was written to"),
    ],
)
def test_a_run_whose_input_changed_is_not_continued(corpus, unfinished, tmp_path, change, message):
    kept = whole_files(tmp_path / "out.partial")
    change(corpus)
    with pytest.raises(InputError, match=message):
        resume(Resume(output=unfinished))
    assert whole_files(tmp_path / "out.partial") == kept


def whole_files(folder) -> list[str]:
    """Names of what is in a folder but for files that a dying worker may still have been writing."""
    return sorted(path.name for path in folder.rglob("*") if path.suffix != ".partial")


def test_a_filter_is_continued_as_well(corpus, tmp_path, capsys):
    words = ["filter", "input=corpus", "output=out", "preset=none", "min_words=13", "workers=2", "shard_bytes=1"]
    killed(words, tmp_path, tmp_path / "out.partial/work", finished=2)
    assert main(["resume", f"output={tmp_path}/out", "workers=1"]) == 0
    assert json.loads(capsys.readouterr().out)["dropped"] == {"too_few_words": 1}


def test_there_is_nothing_to_resume_where_nothing_was_begun(tmp_path):
    with pytest.raises(
        InputError, match=r"was never begun, so there is nothing to resume; in .* unfinished: none; fin"
    ):
        resume(Resume(output=tmp_path / "out"))
    (tmp_path / "other.partial/work").mkdir(parents=True)
    with pytest.raises(InputError, match="does not say what it was asked for; give its command again"):
        resume(Resume(output=tmp_path / "other"))
