"""The workflow of made-up data, from documents to a tuned model, asked of a model on loopback; killed, it goes on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from contracts.answering import answering
from contracts.stages import Workshop
from packages import ROOT
from smoke.console import write_documents

from nemo_core.foundation import artifact

WORKFLOW = ROOT / "examples/synthetic-data/workflow.yaml"
SMALL = ["curate.workers=1", "score.workers=1", "sft.steps=2", "sft.batch_size=1", "sft.samples=0", "sft.threads=1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    with answering() as address:
        write_documents(folder / "documents.jsonl")
        lines = (folder / "documents.jsonl").read_text().splitlines()
        (folder / "documents.jsonl").write_text("\n".join(lines[:12]) + "\n")
        model = Workshop(folder / "workshop", address).make("nemo-core/pretrain")
        yield folder, [str(WORKFLOW), "run_dir=run", "input=documents.jsonl", f"model={model}", f"base_url={address}"]


def launch(folder, words, **options):
    command = [str(Path(sys.executable).parent / "nemo-launcher"), "run", *words, *SMALL]
    return subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, **options
    )


@pytest.mark.slow
def test_documents_become_instructions_and_a_tuned_model(place):
    folder, words = place
    with launch(folder, words) as process:
        for line in process.stderr:
            if line.split()[:2] == ["generate", "running"]:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    with launch(folder, words) as process:
        said = process.stderr.read()
    assert process.returncode == 0, said
    made = {path.name: artifact.read(path, artifact.KINDS) for path in (folder / "run/artifacts").glob("*/")}
    assert {name: manifest.kind for name, manifest in made.items()} == {
        "curate": "documents",
        "rewrite": "documents",
        "score": "documents",
        "generate": "conversations",
        "sft": "checkpoint",
    }
    rows = [json.loads(line) for line in (folder / "run/artifacts/generate/data/train.jsonl").read_text().splitlines()]
    assert rows
    assert all(row["reward"] >= 3 and row["messages"][-1]["role"] == "assistant" for row in rows)
    asked = (folder / "run/artifacts/generate.answers.jsonl").read_text().splitlines()
    assert len({json.loads(line)["id"] for line in asked}) == len(asked), "an answer was paid for twice"
