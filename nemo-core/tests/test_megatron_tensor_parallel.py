"""Two processes that hold a megatron model together compute, save and load what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nemo_core.megatron.joins import PaddedRows, gate_up, grouped_qkv, same

pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")

WORKERS = Path(__file__).parent / "workers"
DENSE = ("llama", "tied, biases", "gpt", "sandwich", "parallel", "norms of projections", "latent attention")
NAMES = (*DENSE, "latent attention, experts", "experts")
JOINS = {
    "rows shared": (same(0), [(12, 5)]),
    "columns shared": (same(1), [(5, 12)]),
    "on every rank": (same(), [(7,)]),
    "padded rows": (PaddedRows(10, 12), [(10, 3)]),
    "queries, keys, values": (grouped_qkv(8, 4, 3), [(24, 5), (12, 5), (12, 5)]),
    "their biases": (grouped_qkv(8, 4, 3), [(24,), (12,), (12,)]),
    "gate and up": (gate_up(), [(8, 5), (8, 5)]),
}


def parts_of(shapes: list[tuple[int, ...]]) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=draw) for shape in shapes]


@pytest.mark.parametrize("name", JOINS)
def test_a_join_comes_apart_bit_for_bit(name):
    join, shapes = JOINS[name]
    parts = parts_of(shapes)
    assert all(map(torch.equal, parts, join.split(join.join(parts))))


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("name", JOINS)
def test_shards_are_the_join_of_shared_parts_and_make_up_the_whole(name, size):
    join, shapes = JOINS[name]
    parts = parts_of(shapes)
    whole = join.join(parts)
    shards = [join.shard(whole, rank=rank, size=size) for rank in range(size)]
    assert torch.equal(join.unshard(shards), whole)
    if name in ("queries, keys, values", "their biases", "gate and up"):
        for rank, shard in enumerate(shards):
            own = [part.chunk(size)[rank] for part in parts]
            assert torch.equal(shard, join.join(own))


def test_queries_keys_and_values_lie_by_group():
    number = torch.arange(8.0)
    joined = grouped_qkv(4, 2, 1).join([number[:4], 10 + number[:2], 20 + number[:2]])
    assert joined.tolist() == [0, 1, 10, 20, 2, 3, 11, 21]


@pytest.fixture(scope="module")
def of_two(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("of_two")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    worker = [str(WORKERS / "megatron_tensor_parallel.py"), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *worker], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_compute_what_native_does(of_two, name):
    found = json.loads((of_two / "found.json").read_text())[name]
    assert found["logits"] <= 5e-5
    assert found["gradients"] <= 5e-4
    assert found["shards_differ"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["weights_equal", "loaded_equal", "read_equal", "theirs_equal"])
def test_weights_pass_between_one_and_two_processes_bit_for_bit(of_two, name, way):
    assert json.loads((of_two / "found.json").read_text())[name][way]
