"""Every stage, stopped at one file-system change after another or short of room, finishes with the same result."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from contracts.stages import contracts
from contracts.test_producers import PRODUCERS

from nemo_core.foundation import artifact

SCRIPT = Path(__file__).parent / "interrupted.py"
ALIKE = {  # pass documents through the same code as nemo-curator/filter or shuffle
    f"nemo-curator/{name}"
    for name in ("add-id", "filter-bitext", "filter-lines", "filter-urls", "redact", "sample", "shard", "dedup-seen")
}
REPRESENTATIVE = [name for name in PRODUCERS if name not in ALIKE]
TORCH = {"nemo-core", "nemo-aligner", "nemo-deploy"}
STAGES = contracts()


def disturb(stage, workshop, place, trouble, *, first, factor, limit=12):
    """Every try of `stage` under `trouble`, the last of them undisturbed; and the output."""
    settings = workshop.settings(stage)
    place.mkdir(exist_ok=True)
    recipe = place.parent / "recipe.yaml"
    recipe.write_text(json.dumps({**settings, "output": str(place / "out")}))
    task = {
        "stage": stage,
        "trouble": trouble,
        "folder": str(place),
        "output": str(place / "out"),
        "recipe": str(recipe),
        "first": first,
        "factor": factor,
        "limit": limit,
        "preload": ["torch"] if stage.partition("/")[0] in TORCH else [],
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], input=json.dumps(task), capture_output=True, text=True, check=True, timeout=900
    )
    return json.loads(done.stdout), place / "out"


def check_result(stage, tries, output, workshop):
    """The last try made what an undisturbed run makes, and left nothing behind but hidden files of a killed one."""
    assert len(tries) > 1, "never disturbed"
    assert tries[-1]["exists"], tries[-1]["log"]
    wanted = artifact.load_manifest(workshop.make(stage))
    found = artifact.read(output, wanted.kind)
    if wanted.kind != "endpoint":
        assert found.digest == wanted.digest
    beside = {path.name for path in output.parent.iterdir()} - {"out", "filler", ".out.lock", "out.answers.jsonl"}
    assert all(name.startswith(".") for name in beside) if tries[-1]["code"] != 0 else not beside


@pytest.mark.slow
@pytest.mark.parametrize("stage", PRODUCERS)
def test_a_stage_killed_again_and_again_finishes_with_the_same_result(stage, workshop, tmp_path):
    tries, output = disturb(stage, workshop, tmp_path / "place", "SIGKILL", first=1, factor=6)
    for ended in tries[:-1]:
        assert ended["code"] == -signal.SIGKILL, ended["log"]
    check_result(stage, tries, output, workshop)


@pytest.mark.slow
@pytest.mark.parametrize("stage", REPRESENTATIVE)
def test_a_stage_interrupted_by_hand_says_so_and_goes_on_when_asked(stage, workshop, tmp_path):
    tries, output = disturb(stage, workshop, tmp_path / "place", "SIGINT", first=2, factor=8)
    for ended in tries[:-1]:
        assert ended["code"] == 130, (ended["at"], ended["code"], ended["log"])
        assert "interrupted; the same command continues where it stopped" in ended["log"]
        assert "Traceback" not in ended["log"]
    check_result(stage, tries, output, workshop)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage", [name for name in REPRESENTATIVE if name != "nemo-launcher/shell"]
)  # the user's command
def test_a_stage_short_of_room_says_so_and_finishes_once_there_is_some(stage, workshop, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        tries, output = disturb(stage, workshop, place, "disk", first=4096, factor=32)
        for ended in tries[:-1]:
            assert ended["code"] == 75, (ended["at"], ended["code"], ended["log"])
            assert "no space left while writing" in ended["log"]
            assert "Traceback" not in ended["log"]
            check_result(stage, tries, output, workshop)
    finally:
        subprocess.run(["umount", str(place)], check=True)
