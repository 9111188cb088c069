"""A workflow over two packages, killed at any stage and run again, gives what an undisturbed run gives."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from smoke.console import write_documents

from nemo_core.foundation import artifact

WORKFLOW = """
name: data
targets: [tokenize]
stages:
  curate:
    use: nemo-curator/run
    inputs: {input: ./mine.jsonl}
    with: {pipeline: [repair, language, quality, exact_dedup]}
  tokenizer: {use: nemo-core/tokenizer, inputs: {documents: curate}, with: {vocab_size: 400}}
  tokenize: {use: nemo-core/tokenize, inputs: {documents: curate, tokenizer: tokenizer}}
"""
STAGES = ("curate", "tokenizer", "tokenize")
COMMAND = [str(Path(sys.executable).parent / "nemo-launcher"), "run", "workflow.yaml", "run_dir=run"]


def prepare(place):
    write_documents(place / "mine.jsonl")
    (place / "workflow.yaml").write_text(WORKFLOW)


def digests(place):
    return {stage: artifact.read(place / "run/artifacts" / stage, artifact.KINDS).digest for stage in STAGES}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("undisturbed")
    prepare(place)
    subprocess.run(COMMAND, cwd=place, check=True, capture_output=True)
    return digests(place)


def kill_when_running(stage, place):
    """Start the workflow and kill its launcher as soon as it says that `stage` is running."""
    process = subprocess.Popen(COMMAND, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    with process:
        for line in process.stderr:
            if line.split()[:2] == [stage, "running"]:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_launcher_continues_to_the_same_result(stage, undisturbed, tmp_path):
    prepare(tmp_path)
    kill_when_running(stage, tmp_path)
    done = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path) == undisturbed
    assert not list((tmp_path / "run/artifacts").glob("*.partial"))
