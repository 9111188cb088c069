"""Every command that makes an artifact is continued by ``resume`` after kill -9, with the bytes of an unbroken run."""

import hashlib
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from nemo_curator import curate
from nemo_curator.cli import PROGRAM, main
from nemo_curator.foundation import artifact
from nemo_curator.foundation.command import resolve
from nemo_curator.testing.corpora import prose, write_jsonl

KILLER = """
import json, os, signal, sys
from itertools import count
from nemo_curator.cli import PROGRAM, main
from nemo_curator.foundation.command import resolve

def die_at(number):
    replace, calls = os.replace, count(1)
    def replaced(*arguments, **options):
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(*arguments, **options)
    os.replace = replaced

cases = json.loads(sys.argv[1])
for words, _ in cases:  # imported once, and not by every child
    resolve(next(c.run for c in PROGRAM.commands if c.name == words[0]))
for words, number in cases:
    child = os.fork()
    if child == 0:
        die_at(number)
        main(words)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, words
"""
"""Begins each command in a process of its own, which ends by SIGKILL where its n-th file would be whole."""

SHARDS = ("workers=1", "shard_bytes=1")
CASES = {
    "run": (["run", "input=in", "pipeline=[repair,exact_dedup]", *SHARDS], 9),
    "dedup-exact": (["dedup-exact", "input=in", *SHARDS], 9),
    "dedup-spans": (["dedup-spans", "input=in", *SHARDS], 9),
    "dedup-seen": (["dedup-seen", "input=in", *SHARDS], 9),
    "filter": (["filter", "input=in", "preset=none", "min_words=13", *SHARDS], 8),
    "filter-lines": (["filter-lines", "input=in", *SHARDS], 8),
    "redact": (["redact", "input=in", *SHARDS], 8),
    "shuffle": (["shuffle", "input=in", "memory_bytes=3000", "rows_per_file=5"], 6),
    "shard": (["shard", "input=in", "rows_per_file=5"], 5),
    "sample": (["sample", "input=in", "fraction=0.7", "rows_per_file=5"], 5),
    "add-id": (["add-id", "input=in", "rows_per_file=5"], 5),
    "blend": (["blend", "inputs=[in,more]", "weights=[2,1]", "rows_per_file=5"], 5),
    "separate": (["separate", "input=in", "by=tag", "rows_per_file=5"], 8),
    "separate-late": (["separate", "input=in", "by=tag", "rows_per_file=5"], 17),
    "questions": (["questions", "documents=documents"], 4),
    "preferences": (["preferences", "conversations=asked"], 4),
    "acquire": (["acquire", "source=python-docs", "modules=[json,csv]", "workers=1"], 4),
}
ELSEWHERE = {
    "dedup-fuzzy": "test_curator_kills.py",
    "dedup-substring": "test_curator_kills.py",
    "dedup-semantic": "test_curator_kills.py",
    "filter-urls": "as filter: documents through a step",
    "filter-bitext": "as filter: documents through a step",
    "classify": "test_curator_kills.py",
    "fasttext": "as filter: documents through a step",
    "decontaminate": "test_curator_kills.py",
    "generate": "test_curator_generate.py",
    "rewrite": "test_curator_generate.py",
    "prepare-fasttext": "one file: test_curator_kills.py",
    "train-classifier": "one file: test_curator_kills.py",
    "report": "one file, no artifact",
    "plan": "writes nothing",
    "resume": "itself",
}


def begin(folder: Path) -> None:
    """Inputs of every kind."""
    for file in range(4):
        rows = [
            {"id": f"u{file}-{n}", "text": prose(9 * file + n), "title": f"T{n}", "tag": "ab"[n % 2]} for n in range(9)
        ]
        write_jsonl(folder / f"in/{file}.jsonl", [*rows, {"text": prose(3), "tag": "a"}])
    write_jsonl(folder / "more/0.jsonl", [{"id": f"m{n}", "text": prose(90 + n)} for n in range(30)])
    curate(folder / "in", folder / "documents", pipeline=["repair"], workers=1)
    assert main(["questions", f"documents={folder}/documents", f"output={folder}/asked"]) == 0


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Path:
    """A folder with the draft of every command, each killed in the middle."""
    folder = tmp_path_factory.mktemp("broken")
    begin(folder)
    cases = [([*words, f"output={name}"], number) for name, (words, number) in CASES.items()]
    subprocess.run([sys.executable, "-c", KILLER, json.dumps(cases)], cwd=folder, check=True, capture_output=True)
    return folder


def data(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but manifests, which hold dates, and logs."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != artifact.MANIFEST and artifact.role_of(path.name) == "data"
    }


@pytest.mark.parametrize("name", CASES)
def test_resume_gives_the_bytes_of_an_unbroken_run(broken, name, monkeypatch, capsys):
    words = CASES[name][0]
    monkeypatch.chdir(broken)
    assert list(broken.glob(f"{name}.partial")) or list(broken.glob(f"{name}/*.partial"))
    assert main(["resume", str(broken / name)]) == 0
    shown = "run" if words[0].startswith("dedup") else words[0]
    assert f"resume: {shown}: " in capsys.readouterr().err
    assert main([*words, f"output=whole/{name}"]) == 0
    assert data(broken / name) == data(broken / "whole" / name)
    assert data(broken / name)


def test_every_command_that_has_an_output_is_among_these():
    known = {words[0] for words, _ in CASES.values()} | ELSEWHERE.keys()
    assert {c.name for c in PROGRAM.commands if "output" in {f.name for f in fields(resolve(c.settings))}} == known


def begun(tmp_path, words):
    """The draft of a command that was killed."""
    subprocess.run([sys.executable, "-c", KILLER, json.dumps([[words, 5]])], cwd=tmp_path, check=True)


def test_only_settings_that_change_nothing_can_be_others(tmp_path, capsys):
    write_jsonl(tmp_path / "in/0.jsonl", [{"text": prose(n)} for n in range(20)])
    begun(tmp_path, ["shard", "input=in", "output=out", "rows_per_file=5"])
    assert main(["resume", f"{tmp_path}/out", "workers=2"]) == 2
    assert "workers=2: shard has no such setting; leave it out" in capsys.readouterr().err
    assert main(["resume", f"{tmp_path}/out", "rows_per_file=9"]) == 2
    assert "unknown key 'rows_per_file'" in capsys.readouterr().err
    assert main(["resume", f"{tmp_path}/absent"]) == 2
    assert "absent: was never begun" in (said := capsys.readouterr().err)
    assert "unfinished: out; finished: none" in said
    assert main(["resume", f"{tmp_path}/out"]) == 0
    assert "resume: shard: nothing is kept of it, so it begins anew with its own settings" in capsys.readouterr().err
    assert main(["resume", f"{tmp_path}/out"]) == 0
    assert "out is finished; there is nothing to do" in capsys.readouterr().err
    assert not list(tmp_path.rglob(".request.json"))


def test_an_arrangement_whose_input_changed_is_not_continued(tmp_path, capsys):
    for name in ("in", "more"):
        write_jsonl(tmp_path / name / "0.jsonl", [{"text": prose(n)} for n in range(20)])
    begun(tmp_path, ["blend", "inputs=[in,more]", "weights=[1,1]", "output=out", "rows_per_file=5"])
    (tmp_path / "more/0.jsonl").unlink()
    (tmp_path / "more").rmdir()
    assert main(["resume", f"{tmp_path}/out"]) == 2
    assert "what it reads changed since the run began: more is gone; bring it back" in capsys.readouterr().err


def test_a_separation_never_replaces_what_another_one_made(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "in/0.jsonl", [{"text": prose(n), "tag": "ab"[n % 2]} for n in range(20)])
    assert main(["separate", "input=in", "by=tag", "output=out", "only=[a]"]) == 0
    before = data(tmp_path / "out")
    for words in (["separate", "input=in", "by=tag", "output=out"], ["resume", "out"]):
        assert main(words) == 2
        assert "out/a: exists already" in capsys.readouterr().err
    assert {name: digest for name, digest in data(tmp_path / "out").items() if name in before} == before
