"""megatron.core's own router, which has fused kernels, is used where it decides as our rules say."""

import dataclasses

import pytest
import torch

from nemo_core.config import ModelConfig, MoEConfig

pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")

from megatron.core.transformer.moe.router import TopKRouter

from nemo_core.megatron.model import MegatronDecoder
from nemo_core.megatron.parallel import process_groups
from nemo_core.megatron.router import CpuRouter, RuledRouter, own_routing, router_by

pytestmark = pytest.mark.filterwarnings("ignore")

LLAMA = ModelConfig(
    vocab_size=67, hidden_size=32, num_layers=1, num_heads=4, num_kv_heads=2, head_dim=12, ffn_size=40, max_positions=48
)
ROUTERS = {
    "softmax of the chosen": {"scale": 2.5},
    "softmax of all": {"normalize": False},
    "softmax of all, within groups": {"normalize": False, "groups": 4, "top_groups": 2, "group_best": 2, "scale": 16.0},
    "sigmoid with a bias": {"score": "sigmoid", "correction_bias": True},
    "sigmoid, within groups": {"score": "sigmoid", "groups": 4, "top_groups": 2, "group_best": 2},
    "sigmoid of one": {"score": "sigmoid", "top_k": 1, "normalize": False},
}


@pytest.mark.parametrize("name", ROUTERS)
def test_megatrons_own_router_decides_alike_where_it_is_used(name):
    moe = MoEConfig(**{"num_experts": 8, "top_k": 4, "ffn_size": 24, **ROUTERS[name]})
    assert own_routing(moe) is not None
    with process_groups():
        model = MegatronDecoder(dataclasses.replace(LLAMA, moe=moe))
        router = model.gpt.decoder.layers[0].mlp.router
        draw = torch.Generator().manual_seed(0)
        if moe.correction_bias:
            router.expert_bias.copy_(torch.randn(8, generator=draw))
        logits = torch.randn(50, 3, 8, generator=draw)
        weights, chosen = router.routing(logits)
        their_weights, their_chosen = TopKRouter.routing(router, logits)
    assert torch.equal(chosen, their_chosen)
    torch.testing.assert_close(weights, their_weights, rtol=1e-6, atol=1e-7)
    assert (chosen.sum(1) == moe.top_k).all()


@pytest.mark.parametrize(
    "rules",
    [
        {"correction_bias": True},
        {"groups": 4, "top_groups": 2},
        {"top_k": 1},
        {"score": "sigmoid", "normalize": False},
        {"score": "sigmoid", "top_k": 1},
        {"score": "sigmoid", "groups": 2, "top_groups": 2, "group_best": 1},
    ],
    ids=str,
)
def test_rules_that_megatrons_own_router_does_not_know_are_left_to_ours(rules):
    moe = MoEConfig(**{"num_experts": 8, "top_k": 4, "ffn_size": 24, **rules})
    assert own_routing(moe) is None
    assert not router_by(moe, on_gpu=True).decides_alike


def test_only_a_router_on_a_gpu_leaves_decisions_to_megatron_and_only_unheard():
    moe = MoEConfig(num_experts=8, top_k=4, ffn_size=24)
    assert router_by(moe, on_gpu=True).decides_alike
    assert not router_by(moe, on_gpu=False).decides_alike
    with process_groups():
        model = MegatronDecoder(dataclasses.replace(LLAMA, moe=moe))
        router = model.gpt.decoder.layers[0].mlp.router
        assert isinstance(router, CpuRouter) and isinstance(router, RuledRouter)
        logits = torch.randn(5, 2, 8)
        ours = router.routing(logits)
        router.decides_alike = True
        theirs = router.routing(logits)
        router.told = []
        heard = router.routing(logits)
    torch.testing.assert_close(theirs[0], ours[0], rtol=1e-6, atol=1e-7)
    assert torch.equal(heard[0], ours[0])
    assert len(router.told) == 1
