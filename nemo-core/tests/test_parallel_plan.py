"""A layout that does not fit the model or the processes is refused with the values that do."""

import dataclasses

import pytest
import torch

from nemo_core.config import ModelConfig, MoEConfig
from nemo_core.data.batch import Batch
from nemo_core.foundation.errors import ConfigError
from nemo_core.parallel.pipeline import bounds, own_stages
from nemo_core.parallel.plan import make_plan
from nemo_core.parallel.settings import ParallelSettings
from nemo_core.train.world import World

SHAPE = ModelConfig(
    vocab_size=50, hidden_size=16, num_layers=4, num_heads=4, num_kv_heads=2, head_dim=8, ffn_size=24, max_positions=64
)


def plan(size: int, config=SHAPE, **degrees):
    return make_plan(ParallelSettings(**degrees), config, size)


def test_copies_fill_what_is_left():
    assert plan(8, fsdp=2, tensor=2).data == 2
    assert plan(1).is_plain
    assert plan(6).data == 6
    assert plan(8, data=2, fsdp=2, tensor=2).size == 8
    assert plan(8, fsdp=2, tensor=2).num_shares == 4


@pytest.mark.parametrize(
    ("size", "degrees", "message"),
    [
        (2, {"tensor": 3}, r"parallel.tensor=3 does not divide model.num_heads=4; use one of \[1, 2, 4\]"),
        (6, {"fsdp": 4}, "parallel.fsdp=4 needs a multiple of 4 processes, but WORLD_SIZE=6; start 4 with torchrun"),
        (8, {"data": 2, "fsdp": 2}, "needs 4 processes, but WORLD_SIZE=8; use parallel.data=4, or 0 for whatever"),
        (1, {"pipeline": 2}, "needs a multiple of 2 processes, but WORLD_SIZE=1"),
        (8, {"pipeline": 8}, "makes 8 stages, but model.num_layers=4; use 4 stages or fewer"),
        (2, {"pipeline": 2, "schedule": "interleaved"}, "interleaved takes 2 or more stages per rank"),
        (2, {"pipeline": 2, "stages_per_rank": 2}, "parallel.schedule=1f1b with parallel.stages_per_rank=2"),
        (2, {"expert": 2}, "parallel.expert=2: this model has no experts; leave parallel.expert out"),
    ],
)
def test_an_impossible_plan_is_named(size, degrees, message):
    with pytest.raises(ConfigError, match=message):
        plan(size, **degrees)


MIXTURE = dataclasses.replace(SHAPE, moe=MoEConfig(num_experts=6, top_k=2, ffn_size=12))


@pytest.mark.parametrize(
    ("size", "degrees", "message"),
    [
        (4, {"expert": 4}, r"parallel.expert=4 does not divide moe.num_experts=6; use one of \[1, 2, 3, 6\]"),
        (2, {"tensor": 2, "expert": 2}, r"does not fit data x fsdp x context = 1 x 1 x 1, .*; use one of \[1\]"),
        (6, {"fsdp": 2, "expert": 3}, r"parallel.expert=3 does not fit .* = 3 x 2 x 1, .*; use one of \[1, 2, 6\]"),
        (2, {"fsdp": 2, "expert": 2, "recompute": "selective"}, "torch allows .*; use parallel.recompute=full"),
    ],
)
def test_an_impossible_share_of_experts_is_named(size, degrees, message):
    with pytest.raises(ConfigError, match=message):
        plan(size, MIXTURE, **degrees)


@pytest.mark.parametrize(
    ("size", "degrees", "sizes"),
    [
        (4, {"expert": 2}, (2, 1, 2)),
        (12, {"fsdp": 6, "expert": 3}, (2, 2, 3)),
        (12, {"fsdp": 2, "expert": 6}, (2, 1, 6)),
        (12, {"fsdp": 2, "context": 3, "expert": 2, "tensor": 2}, (1, 3, 2)),
    ],
)
def test_experts_are_copied_and_sharded_over_what_is_left(size, degrees, sizes):
    found = plan(size, MIXTURE, **degrees)
    assert found.expert_sizes == sizes
    assert not found.is_plain


def test_sizes_that_tensor_parallel_does_not_divide_are_named():
    mixture = MoEConfig(num_experts=4, top_k=2, ffn_size=9)
    with pytest.raises(ConfigError, match=r"parallel.tensor=2 does not divide moe.ffn_size=9; use one of \[1, 3, 9\]"):
        plan(2, dataclasses.replace(SHAPE, moe=mixture), tensor=2)
    shared = dataclasses.replace(mixture, ffn_size=12, shared_ffn_size=5)
    with pytest.raises(ConfigError, match=r"does not divide moe.shared_ffn_size=5; use one of \[1, 5\]"):
        plan(2, dataclasses.replace(SHAPE, moe=shared), tensor=2)


def test_key_heads_are_shared_by_a_multiple_of_processes():
    assert plan(4, tensor=4).tensor == 4
    six = dataclasses.replace(SHAPE, num_heads=12, num_kv_heads=4)
    message = r"parallel.tensor=6 is no multiple of model.num_kv_heads=4, .*; use one of \[1, 2, 4, 12\]"
    with pytest.raises(ConfigError, match=message):
        plan(6, six, tensor=6)
    with pytest.raises(ConfigError, match=r"qk_norm=projection the norm is over all key/value heads"):
        plan(4, dataclasses.replace(SHAPE, qk_norm="projection"), tensor=4)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_a_batch_has_the_same_rows_in_the_same_order_for_any_number_of_processes(size):
    rows = torch.arange(30).reshape(10, 3)
    shares = [World(rank, size).share(Batch(rows, rows)).ids_BT for rank in range(size)]
    assert torch.equal(torch.cat(shares), rows)


def test_stages_hold_every_layer_once():
    assert bounds(5, 2) == [range(2), range(2, 5)]
    assert [layer for stage in bounds(13, 4) for layer in stage] == list(range(13))
    assert sorted(own_stages(0, 2, 3) + own_stages(1, 2, 3)) == list(range(6))
