"""Two processes with half of a megatron model's layers each compute, save and load what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")

NAMES = ("llama", "tied, learned positions", "windows in some layers", "experts in some layers")
POSITIONS = "embedding.position_embeddings.weight"


@pytest.fixture(scope="module")
def stages(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("stages")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    worker = [str(Path(__file__).parent / "workers/megatron_pipeline.py"), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *worker], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_the_last_stage_gives_the_logits_of_one_process(stages, name):
    assert stages[0][name]["logits"] is None
    assert stages[1][name]["logits"] <= 5e-5


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_has_its_layers_and_its_end_of_the_model(stages, name):
    assert [stage[name]["layers"] for stage in stages] == [[0, 2], [2, 4]]
    first, last = (stage[name]["names"] for stage in stages)
    assert first == ([POSITIONS] if "learned" in name else []) + ["embedding.word_embeddings.weight"]
    biased = ["decoder.final_layernorm.bias"] if "learned" in name else []
    assert last == [*biased, "decoder.final_layernorm.weight", "output_layer.weight"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["loads_again", "one_to_two", "two_to_one"])
def test_weights_pass_between_one_and_two_stages_bit_for_bit(stages, name, way):
    assert all(stage[name][way] for stage in stages)
