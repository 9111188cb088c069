"""Every transform is undone exactly, and makes a rank's tensor from the shards of the whole ones."""

import dataclasses

import pytest
import torch

from nemo_core.checkpoint.mapping.rules import Rule, TensorMap
from nemo_core.checkpoint.mapping.transforms import (
    Chain,
    Inverse,
    PadRows,
    PairOrder,
    Same,
    Shift,
    Split,
    SplitGroups,
    Stack,
    Transpose,
)
from nemo_core.config import ModelConfig
from nemo_core.families import FAMILIES
from nemo_core.families.layout import tensor_map
from nemo_core.shapes import tensor_specs


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


# transform, left tensors, axis along which the right tensors are cut
CASES = {
    "same": (Same(), [drawn(4, 6)], 0),
    "transpose": (Transpose(), [drawn(6, 4)], 0),
    "transpose a bias": (Transpose(), [drawn(8)], None),
    "split": (Split((2, 1, 1)), [drawn(16, 3)], None),
    "groups": (SplitGroups((2, 1, 1), 3), [drawn(4 * 3 * 4, 5)], 0),
    "groups of a bias": (SplitGroups((2, 1, 1), 3), [drawn(4 * 3 * 4)], 0),
    "pairs": (PairOrder(8, 4, 3), [drawn(32, 5)], 0),
    "pairs of a row-parallel matrix": (PairOrder(8, 8), [drawn(16, 6)], 1),
    "stack": (Stack(3), [drawn(4, 6), drawn(4, 6), drawn(4, 6)], 1),
    "unstack": (Inverse(Stack(3)), [drawn(3, 4, 6)], 1),
    "join groups": (Inverse(SplitGroups((2, 1, 1), 3)), [drawn(24, 5), drawn(12, 5), drawn(12, 5)], 0),
    "transpose, then groups": (Chain((Transpose(), SplitGroups((1, 1, 1), 2))), [drawn(5, 4 * 3 * 2)], 0),
    "pad": (PadRows(5, 8), [drawn(5, 3)], None),
}


def cut(tensors, axis, rank, ranks):
    return [t if axis is None else t.chunk(ranks, axis)[rank].contiguous() for t in tensors]


def equal(left, right):
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right))


@pytest.mark.parametrize("name", CASES)
def test_there_and_back_is_exact(name):
    transform, left, _ = CASES[name]
    right = transform.forward(left)
    assert equal(transform.inverse(right), left)
    assert equal(Inverse(transform).forward(right), left)
    assert equal(Inverse(transform).inverse(left), right)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][2] is not None])
def test_shards_of_one_side_make_the_shards_of_the_other(name):
    transform, left, axis = CASES[name]
    left_axis = transform.left_axis(axis)
    assert transform.right_axis(left_axis) == axis
    right = transform.forward(left)
    for rank in range(2):
        assert equal(transform.forward(cut(left, left_axis, rank, 2)), cut(right, axis, rank, 2))
        assert equal(transform.inverse(cut(right, axis, rank, 2)), cut(left, left_axis, rank, 2))


def test_a_rank_joins_its_own_shards_of_gate_and_up():
    gate, up = drawn(8, 3), drawn(8, 3) + 1
    join = Inverse(Split((1, 1)))
    (second,) = join.forward(cut([gate, up], 0, 1, 2))
    assert torch.equal(second, torch.cat([gate[4:], up[4:]]))
    assert equal(join.inverse([second]), [gate[4:], up[4:]])


def test_groups_lie_as_megatron_and_falcon_lay_them():
    q, k, v = (torch.arange(8.0)[:, None], torch.arange(4.0)[:, None] + 100, torch.arange(4.0)[:, None] + 200)
    (fused,) = SplitGroups((2, 1, 1), 2).inverse([q, k, v])
    assert fused.flatten().tolist() == [0, 1, 2, 3, 100, 101, 200, 201, 4, 5, 6, 7, 102, 103, 202, 203]


def test_pairs_become_halves():
    (halves,) = PairOrder(8, 4, 2).forward([torch.arange(16.0)])
    assert halves.tolist() == [0, 1, 2, 4, 3, 5, 6, 7, 8, 9, 10, 12, 11, 13, 14, 15]


def test_a_shifted_norm_comes_back():
    assert equal(Shift(1.0).inverse(Shift(1.0).forward([torch.zeros(3)])), [torch.zeros(3)])


def test_a_rule_and_a_map_are_read_both_ways():
    rule = Rule(("fused",), ("a", "b"), Split((1, 1)))
    tensors = TensorMap((rule, Rule(("x",), ("y",))))
    left = {"fused": drawn(4, 2), "x": drawn(3)}
    right = dict(tensors.forward(left.__getitem__))
    assert list(right) == ["a", "b", "y"]
    assert all(torch.equal(t, left[n]) for n, t in tensors.backward(right.__getitem__))
    assert tensors.by_left["fused"] is tensors.by_right["b"] is rule
    assert torch.equal(rule.reversed.apply(right.__getitem__)["fused"], left["fused"])


@pytest.mark.parametrize("family", ["gpt2", "falcon", "phi3"])
def test_every_family_rule_makes_rank_shards_from_rank_shards(family):
    shape = {"vocab_size": 8, "hidden_size": 8, "num_layers": 1, "num_heads": 4, "num_kv_heads": 4, "head_dim": 2}
    config = dataclasses.replace(ModelConfig(**shape, ffn_size=12, attention_bias=True), family=family)
    specs = tensor_specs(config)
    for rule in tensor_map(config).rules:
        right = [drawn(*specs[name].shape) for name in rule.right]
        axis = specs[rule.right[0]].shard_axis
        left = rule.transform.inverse(right)
        for rank in range(2):
            shards = cut(right, axis, rank, 2)
            assert equal(rule.transform.forward(rule.transform.inverse(shards)), shards)
            if len(right) == 1 and axis is not None:
                assert equal(rule.transform.inverse(shards), cut(left, rule.transform.left_axis(axis), rank, 2))


def test_families_are_known_by_architecture():
    assert FAMILIES["LlamaForCausalLM"] == "llama"
