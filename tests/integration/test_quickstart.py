"""The quickstart, reduced in size only: from pages to an answer, skipped when repeated, and with other input."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packages import ROOT
from smoke.console import write_documents

from nemo_core.foundation import artifact

WORKFLOW = ROOT / "examples/quickstart/workflow.yaml"
LEARNING = ("pretrain", "sft", "dpo", "grpo")
SMALL = [
    "acquire.modules=[argparse, calendar, collections, configparser, csv, datetime, decimal, difflib, email, fractions,"
    " heapq, html, http, itertools, json, logging, random, shutil, statistics, string, tempfile, textwrap, zipfile]",
    "tokenizer.vocab_size=1024",
    *("pretrain.steps=30", "pretrain.validation_batches=2"),
    "sft.steps=20",
    *("dpo.steps=4", "dpo.batch_size=4", "dpo.validation_pairs=16"),
    *(
        "grpo.steps=2",
        "grpo.prompts_per_step=4",
        "grpo.group_size=4",
        "grpo.max_tokens=24",
        "grpo.validation_prompts=8",
    ),
    *("evaluate.questions=8", "evaluate.pairs=16", "evaluate.samples=2", "evaluate.max_tokens=24"),
    "evaluate.perplexity_tokens=2000",
]


def run(place, *words):
    """Run the workflow in `place`; its standard error and output, which end with the closing line."""
    command = [str(Path(sys.executable).parent / "nemo-launcher"), "run", str(WORKFLOW), "run_dir=run", *words]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


def manifests(place):
    """The manifest of every artifact of the run, by stage."""
    found = sorted((place / "run").rglob("artifacts/*/manifest.json"))
    return {path.parent.name: artifact.load_manifest(path.parent) for path in found}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    place = tmp_path_factory.mktemp("quickstart")
    return place, run(place, *SMALL)


@pytest.mark.slow
def test_it_ends_with_a_question_and_an_answer(finished):
    assert re.search(r"^Q: What is \S.*  A: ", finished[1], re.MULTILINE)


@pytest.mark.slow
def test_every_artifact_is_whole(finished):
    for path in finished[0].rglob("artifacts/*/manifest.json"):
        artifact.read(path.parent, artifact.KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("stage", LEARNING)
def test_a_learning_stage_measures_the_same_figures_before_and_after(finished, stage):
    stats = manifests(finished[0])[stage].stats
    assert stats["before"] and set(stats["before"]) == set(stats["after"])
    assert stats["steps"] > 0 and stats["seconds"] > 0


@pytest.mark.slow
def test_even_a_short_training_lowers_the_loss_on_held_out_text(finished):
    for stage in ("pretrain", "sft"):
        stats = manifests(finished[0])[stage].stats
        loss = next(name for name in ("validation_loss", "loss") if name in stats["before"])
        assert stats["after"][loss] < stats["before"][loss], stage


@pytest.mark.slow
def test_models_are_evaluated_side_by_side(finished):
    (path,) = finished[0].rglob("artifacts/evaluate/results.json")
    models = json.loads(path.read_text(encoding="utf-8"))["models"]
    assert {"pretrained", "sft", "dpo", "grpo"} <= set(models)
    assert len({tuple(sorted(model["metrics"])) for model in models.values()}) == 1


@pytest.mark.slow
def test_there_is_a_report_that_shows_the_answer_and_needs_no_network(finished):
    asked = manifests(finished[0])["ask"].stats
    page = (finished[0] / "run/report.html").read_text(encoding="utf-8")
    assert asked["question"] in page and html.escape(asked["answer"]) in page
    assert not re.findall(r'(?:src|href)="https?://[^"]*\.(?:js|css|png|svg|woff2?)"', page)


@pytest.mark.slow
def test_a_second_run_makes_nothing_again(finished):
    before = {stage: manifest.created for stage, manifest in manifests(finished[0]).items()}
    stamps = {path: path.stat().st_mtime_ns for path in finished[0].rglob("artifacts/*/manifest.json")}
    run(finished[0], *SMALL)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert {stage: manifest.created for stage, manifest in manifests(finished[0]).items()} == before


@pytest.mark.slow
def test_text_of_ones_own_takes_the_place_of_the_pages(tmp_path):
    written = write_documents(tmp_path / "mine.jsonl")
    words = [f"input={tmp_path / 'mine.jsonl'}", "targets=[tokenize]", "tokenizer.vocab_size=400", "report=false"]
    run(tmp_path, *words, "curate.pipeline=[repair, language, quality, exact_dedup]")
    assert set(manifests(tmp_path)) == {"curate", "tokenizer", "tokenize"}
    assert manifests(tmp_path)["curate"].stats["documents_in"] == written
