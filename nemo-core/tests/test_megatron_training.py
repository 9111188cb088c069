"""The megatron implementation learns what the native one learns, alone and in two processes, and takes up its state."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nemo_core.cli import main
from nemo_core.foundation import artifact

pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

MEGATRON = "implementation=megatron"


def losses(folder: Path) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row["loss"] for row in map(json.loads, lines) if "loss" in row]


def in_two_processes(*words: str) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "nemo_core", "pretrain", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-12000:]


def test_losses_and_weights_equal_native_ones(tiny_words, pretrained, tmp_path):
    assert main(["pretrain", *tiny_words, MEGATRON, f"output={tmp_path / 'model'}"]) == 0
    assert losses(tmp_path / "model") == pytest.approx(losses(pretrained), rel=1e-5)
    before, after = (artifact.read(folder, "checkpoint").stats for folder in (pretrained, tmp_path / "model"))
    assert after["after"] == pytest.approx(before["after"], rel=1e-5)


@pytest.mark.parametrize("layout", ["tensor=2", "data=2", "fsdp=2"])
def test_two_processes_learn_what_one_learns(tiny_words, pretrained, tmp_path, layout):
    words = [word for word in tiny_words if not word.startswith("model.num_kv_heads")]
    if layout == "tensor=2":
        words.append("model.num_kv_heads=2")
        assert main(["pretrain", *words, f"output={tmp_path / 'native'}"]) == 0
        expected = losses(tmp_path / "native")
    else:
        words, expected = tiny_words, losses(pretrained)
    in_two_processes(*words, MEGATRON, f"parallel.{layout}", f"output={tmp_path / 'model'}")
    assert losses(tmp_path / "model") == pytest.approx(expected, rel=2e-4)
