"""A layout that does not fit the model or the processes is refused with the values that do."""

import dataclasses

import pytest

from nemo_core.config import ModelConfig, MoEConfig
from nemo_core.foundation.errors import ConfigError
from nemo_core.parallel.pipeline import bounds, own_stages
from nemo_core.parallel.plan import check_optimizer, make_plan
from nemo_core.parallel.settings import ParallelSettings

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
        (2, {"tensor": 4}, r"parallel.tensor=4 does not divide model.num_kv_heads=2; use one of \[1, 2\]"),
        (6, {"fsdp": 4}, "parallel.fsdp=4 needs a multiple of 4 processes, but WORLD_SIZE=6; start 4 with torchrun"),
        (8, {"data": 2, "fsdp": 2}, "needs 4 processes, but WORLD_SIZE=8; use parallel.data=4, or 0 for whatever"),
        (1, {"pipeline": 2}, "needs a multiple of 2 processes, but WORLD_SIZE=1"),
        (8, {"pipeline": 8}, "makes 8 stages, but model.num_layers=4; use 4 stages or fewer"),
        (2, {"pipeline": 2, "schedule": "interleaved"}, "interleaved takes 2 or more stages per rank"),
        (2, {"pipeline": 2, "stages_per_rank": 2}, "parallel.schedule=1f1b with parallel.stages_per_rank=2"),
        (4, {"pipeline": 2, "context": 2}, "cannot be combined"),
        (4, {"pipeline": 2, "fsdp": 2}, "the native pipeline combines with parallel.data only"),
        (2, {"expert": 2}, "parallel.expert=2: the native model computes every expert in each process"),
    ],
)
def test_an_impossible_plan_is_named(size, degrees, message):
    with pytest.raises(ConfigError, match=message):
        plan(size, **degrees)


def test_what_is_not_split_by_tensors_is_named():
    mixture = dataclasses.replace(SHAPE, moe=MoEConfig(num_experts=4, top_k=2, ffn_size=12))
    with pytest.raises(ConfigError, match=r"parallel.tensor=2: .* does not split a model with moe; use parallel.fsdp"):
        plan(2, mixture, tensor=2)
    with pytest.raises(ConfigError, match=r"model with qk_norm=projection"):
        plan(2, dataclasses.replace(SHAPE, qk_norm="projection"), tensor=2)


def test_an_optimizer_of_whole_matrices_is_refused_where_they_are_cut():
    check_optimizer(plan(2), "muon")
    check_optimizer(plan(2, fsdp=2), "adamw")
    with pytest.raises(ConfigError, match=r"optimizer.kind=muon needs whole matrices, but parallel.fsdp=2"):
        check_optimizer(plan(2, fsdp=2), "muon")


def test_stages_hold_every_layer_once():
    assert bounds(5, 2) == [range(2), range(2, 5)]
    assert [layer for stage in bounds(13, 4) for layer in stage] == list(range(13))
    assert sorted(own_stages(0, 2, 3) + own_stages(1, 2, 3)) == list(range(6))
