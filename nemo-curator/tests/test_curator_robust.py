"""Deduplication under kills, little memory, full disks, and ids that are there twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nemo_curator import curate
from nemo_curator.cli import main
from nemo_curator.foundation import artifact
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl

STEPS = [
    "exact_dedup",
    {"fuzzy_dedup": {"verify": True, "groups": True, "mode": "fast"}},
    {"substring_dedup": {"length": 60}},
    {"seen_dedup": {"unit": "line", "capacity": 10_000}},
]


def files_of(folder: Path) -> dict[str, bytes]:
    return {record.path: record.sha256 for record in artifact.read(folder, "documents").files if record.role == "data"}


def words_of(corpus, output) -> list[str]:
    return ["run", f"input={corpus}", f"output={output}", f"pipeline={json.dumps(STEPS)}", "shard_bytes=1", "workers=2"]


def filter_words_of(corpus, output) -> list[str]:
    limits = ["preset=nemo", "keep_scores=true", "min_words=30"]
    return ["filter", f"input={corpus}", f"output={output}", *limits, "shard_bytes=1", "workers=2"]


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


@pytest.mark.slow
@pytest.mark.parametrize("words_of", [words_of, filter_words_of])
def test_twenty_kills_at_random_leave_the_same_bytes(corpus, tmp_path, words_of):
    """The whole run or one of its workers is killed at a random point; whatever is resumed ends as if nothing was."""
    assert main([*words_of(corpus, tmp_path / "whole"), "workers=1"]) == 0
    chance, kills = random.Random(7), 0
    while kills < 20:
        process = subprocess.Popen(
            [sys.executable, "-m", "nemo_curator", *words_of(corpus, tmp_path / "out")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        ends = time.monotonic() + chance.uniform(0.5, 6.0)
        while process.poll() is None and time.monotonic() < ends:
            try:
                process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                continue
        if process.poll() is not None:
            assert process.returncode == 0
            assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
            subprocess.run(["rm", "-r", str(tmp_path / "out")], check=True)
            continue
        workers = children_of(process.pid)
        if workers and kills % 3 == 0:
            os.kill(chance.choice(workers), signal.SIGKILL)
            assert process.wait() == 0
            assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
            subprocess.run(["rm", "-r", str(tmp_path / "out")], check=True)
        else:
            process.kill()
            process.wait()
            if (tmp_path / "out/manifest.json").is_file():  # the output was there, the process had not ended yet
                assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
                subprocess.run(["rm", "-r", str(tmp_path / "out")], check=True)
        kills += 1
    if not (tmp_path / "out").exists():
        assert main(words_of(corpus, tmp_path / "out")) == 0
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def tree_bytes(pid: int) -> int:
    """Resident bytes of a process and its children."""
    total = 0
    for each in (pid, *children_of(pid)):
        try:
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


LIBRARIES_BYTES = 200_000_000
"""What a process takes before it has read anything."""


@pytest.mark.slow
@pytest.mark.parametrize("step", [{"fuzzy_dedup": {"mode": "fast"}}, {"substring_dedup": {"length": 100}}])
def test_memory_stays_within_its_limit_on_an_input_that_does_not_fit_into_it(tmp_path, step):
    chance = random.Random(0)
    for file in range(48):
        pieces = [chance.randbytes(4500).hex() for _ in range(1500)]
        pieces[1::10] = pieces[::10]
        (tmp_path / "in").mkdir(exist_ok=True)
        rows = (json.dumps({"text": f"{file} {number} {piece}"}) + "\n" for number, piece in enumerate(pieces))
        (tmp_path / f"in/{file:02d}.jsonl").write_text("".join(rows))
    limit = 800_000_000
    assert sum(file.stat().st_size for file in (tmp_path / "in").iterdir()) > limit - LIBRARIES_BYTES
    words = [f"input={tmp_path}/in", f"output={tmp_path}/out", f"pipeline={json.dumps([step])}", "memory_limit=800MB"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nemo_curator", "run", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_bytes(process.pid))
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == 0
    assert 100_000_000 < peak < limit


def test_user_ids_that_are_there_twice_are_kept_and_not_taken_for_documents(tmp_path):
    rows = [{"id": "mine", "text": prose(1)}, {"id": "mine", "text": prose(2)}, {"id": "mine", "text": prose(1)}]
    write_jsonl(tmp_path / "in/a.jsonl", rows)
    pipeline = [{"exact_dedup": {"groups": True}}]
    curate(tmp_path / "in", tmp_path / "out", pipeline=pipeline, workers=1)
    kept = read_folder(tmp_path / "out/data")
    assert [(row["id"], row["source_id"]) for row in kept] == [
        ("a.jsonl#00000000", "mine"),
        ("a.jsonl#00000001", "mine"),
    ]
    assert {row["id"] for row in read_folder(tmp_path / "out/groups")} == {"a.jsonl#00000000", "a.jsonl#00000002"}


def mounted(folder, options):
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs")


def test_a_disk_that_fills_while_comparing_ends_with_75_and_the_run_goes_on(corpus, tmp_path, capsys):
    small = tmp_path / "small"
    mounted(small, "size=150k")
    words = words_of(corpus, small / "out")
    try:
        assert main(words) == 75
        assert "no space left while writing" in capsys.readouterr().err
        subprocess.run(["mount", "-o", "remount,size=20M", str(small)], check=True)
        assert main(words) == 0
        curate(corpus, tmp_path / "whole", pipeline=STEPS, workers=1, shard_bytes=1)
        assert files_of(small / "out") == files_of(tmp_path / "whole")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_an_output_that_cannot_be_written_is_named(corpus, tmp_path, capsys):
    folder = tmp_path / "locked"
    mounted(folder, "size=1M,ro")
    try:
        assert main(["dedup", "exact", f"input={corpus}", f"output={folder}/out"]) == 2
        assert f"{folder}/out: cannot be written" in capsys.readouterr().err
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_two_runs_into_one_place_in_one_process_do_not_mix(tmp_path):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": "Once."}, {"text": "ONCE."}])
    for step, kept in ((["exact_dedup"], 2), ([{"exact_dedup": {"ignore_case_and_space": True}}], 1)):
        result = curate(tmp_path / "in", tmp_path / "out", pipeline=step, workers=1, overwrite=True)
        assert result.documents_out == kept
