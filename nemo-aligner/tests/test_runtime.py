"""The contract of clusters: the same plan gives the same answers in this process and on Ray."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nemo_aligner.runtime.group import Role, Workers, open_cluster, split_by_size
from nemo_aligner.runtime.weights import WeightsMismatch, pack, unpack
from nemo_core.foundation.errors import ConfigError, InputError


class Counter:
    """A role that remembers, doubles, measures and fails on request."""

    def __init__(self, start):
        self.value = start

    def add(self, amount):
        self.value += amount
        return self.value

    def double(self, items):
        return [2 * item for item in items]

    def total(self, array):
        return float(array.sum())

    def fail(self):
        raise InputError("row 'r7': no answer")


def plan_of(count=1):
    return {
        "left": Workers(count=count, roles={"first": Role(Counter, (0,)), "second": Role(Counter, (100,))}),
        "right": Workers(roles={"third": Role(Counter, (1000,))}),
    }


def exercise(cluster):
    groups = cluster.groups
    array = cluster.put(np.arange(10.0))
    found = [
        groups["first"].one("add", 1).result(),
        groups["first"].one("add", 1).result(),
        groups["third"].one("add", 5).result(),
        [future.result() for future in groups["second"].all("add", 7)],
        groups["first"].shard("double", [1, 2, 3, 4, 5], sizes=[1, 1, 1, 1, 1]),
        groups["third"].one("total", array).result(),
    ]
    future = groups["third"].one("fail")
    with pytest.raises(InputError, match="row 'r7': no answer"):
        future.result()
    return found


EXPECTED = [1, 2, 1005, [107, 107], [2, 4, 6, 8, 10], 45.0]


def test_roles_answer_through_groups_in_this_process():
    with open_cluster("inline", plan_of(count=2)) as cluster:
        assert exercise(cluster) == EXPECTED


@pytest.mark.slow
def test_roles_answer_through_groups_on_ray():
    search_path = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", "import test_runtime as t; t.main()"],
        capture_output=True,
        text=True,
        timeout=300,
        env=search_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("same")


def main():
    with open_cluster("ray", plan_of(count=2)) as cluster:
        print("same" if exercise(cluster) == EXPECTED else "different")


def test_an_unknown_cluster_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match="unknown cluster 'rays'; one of inline, ray"), open_cluster("rays", {}):
        pass


def test_the_inline_cluster_does_not_import_ray():
    code = (
        "import sys; from nemo_aligner.runtime.group import open_cluster\n"
        "with open_cluster('inline', {}): print('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_shares_are_consecutive_complete_and_even(parts):
    sizes = [5, 1, 1, 8, 2, 2, 2, 3]
    shares = split_by_size(sizes, parts)
    assert [i for share in shares for i in range(share.start, share.stop)] == list(range(len(sizes)))
    assert len(shares) == parts
    assert max(sum(sizes[share]) for share in shares) <= sum(sizes) / parts + max(sizes)


def test_weights_arrive_as_they_were_sent():
    sent = {"a": torch.randn(3, 4), "b": torch.randn(5)}
    received = {"a": torch.zeros(3, 4), "b": torch.zeros(5)}
    unpack(pack(sent, version=3), received)
    for name in sent:
        assert torch.equal(sent[name], received[name])


def test_weights_of_another_model_and_altered_weights_are_refused():
    weights = pack({"a": torch.ones(3)}, version=2)
    with pytest.raises(
        WeightsMismatch, match=r"version 2: the generator has \('b', \(3,\)\), was sent \('a', \(3,\)\)"
    ):
        unpack(weights, {"b": torch.zeros(3)})
    weights.flat[1] = 5.0
    with pytest.raises(WeightsMismatch, match="checksum differs"):
        unpack(weights, {"a": torch.zeros(3)})
