"""Every switch of the canonical config: tensors are as listed, cached steps equal the whole, nonsense is refused."""

import dataclasses

import pytest
import torch

from nemo_core.config import MLAConfig, ModelConfig, MoEConfig, NormConfig, RopeConfig
from nemo_core.foundation.errors import ConfigError
from nemo_core.model.decoder import Decoder
from nemo_core.model.heads import token_log_probs, token_log_probs_and_entropy
from nemo_core.shapes import tensor_specs

TINY = ModelConfig(
    vocab_size=67, hidden_size=32, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=12, ffn_size=40, max_positions=48
)
LAYER_NORM = NormConfig(kind="layer", bias=True)
EXPERTS = MoEConfig(num_experts=6, top_k=2, ffn_size=24)
DEEPSEEK = MoEConfig(
    num_experts=8,
    top_k=3,
    ffn_size=16,
    score="sigmoid",
    scale=2.5,
    correction_bias=True,
    groups=4,
    top_groups=2,
    shared_ffn_size=20,
    dense_layers=(0,),
)
LATENT = {
    "head_dim": 14,
    "num_kv_heads": 4,
    "mla": MLAConfig(kv_rank=10, q_rank=9, plain_dim=8, rotary_dim=6, value_dim=7),
}
LONGROPE = RopeConfig(
    kind="longrope",
    factor=4.0,
    original_positions=12,
    short_factors=(1.0,) * 6,
    long_factors=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0),
)
VARIANTS = {
    "gpt": {"norm": LAYER_NORM, "rope": None, "gated_mlp": False, "activation": "gelu_tanh", "mlp_bias": True},
    "squared relu": {
        "norm": NormConfig(kind="layer", bias=True, zero_centered=True),
        "activation": "relu2",
        "gated_mlp": False,
        "rope": RopeConfig(rotary_share=0.5),
    },
    "sandwich": {
        "norm": NormConfig(zero_centered=True, placement="sandwich"),
        "window": 5,
        "layer_kinds": ("sliding", "full", "sliding"),
        "local_rope": RopeConfig(theta=100.0),
        "query_scale": 0.2,
        "attention_softcap": 3.0,
        "logit_softcap": 5.0,
        "embedding_scale": 5.65,
        "tied_embeddings": True,
    },
    "post norms": {"norm": NormConfig(placement="post"), "qk_norm": "projection"},
    "head norms": {"qk_norm": "head", "attention_bias": True, "output_bias": True},
    "parallel": {"norm": LAYER_NORM, "residual": "parallel", "gated_mlp": False, "activation": "gelu"},
    "parallel, one norm": {"norm": LAYER_NORM, "residual": "parallel_shared_norm", "num_kv_heads": 1},
    "window everywhere": {"window": 4},
    "experts": {"moe": EXPERTS},
    "expert of all tokens behind a gate": {
        "moe": dataclasses.replace(EXPERTS, shared_ffn_size=18, shared_gate=True, balance_loss=0.0)
    },
    "layers without positions": {"unturned_layers": (0, 2), "window": 6, "layer_kinds": ("sliding", "full", "full")},
    "grouped experts and latent attention": {"moe": DEEPSEEK, **LATENT},
    "latent attention, direct queries": {**LATENT, "mla": dataclasses.replace(LATENT["mla"], q_rank=None)},
    "yarn": {"rope": RopeConfig(kind="yarn", factor=4.0, original_positions=16)},
    "longrope": {"rope": LONGROPE},
}
IDS = torch.randint(0, 67, (2, 20), generator=torch.Generator().manual_seed(0))


def variant(name: str) -> ModelConfig:
    return dataclasses.replace(TINY, **VARIANTS[name])


def redrawn(config: ModelConfig) -> Decoder:
    model = Decoder(config).eval()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape, generator=draw) * 0.3)
    return model


class Cache:
    def __init__(self) -> None:
        self.k = self.v = None

    def extend(self, k, v):
        self.k = k if self.k is None else torch.cat([self.k, k], 2)
        self.v = v if self.v is None else torch.cat([self.v, v], 2)
        return self.k, self.v


@pytest.mark.parametrize("name", VARIANTS)
def test_tensors_are_those_that_the_config_lists(name):
    config = variant(name)
    model = Decoder(config)
    assert {n: tuple(t.shape) for n, t in model.state_dict().items()} == {
        n: spec.shape for n, spec in tensor_specs(config).items()
    }
    assert config.num_parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", VARIANTS)
def test_steps_with_a_cache_equal_the_whole_sequence(name):
    model = redrawn(variant(name))
    length = IDS.shape[1]
    caches = [Cache() for _ in range(model.config.num_layers)]
    parts = []
    with torch.no_grad():
        for start, stop in ((0, 7), (7, 8), (8, 9), (9, length)):
            positions = torch.arange(start, stop).expand(2, -1)
            allowed = torch.arange(stop) <= torch.arange(start, stop)[:, None]
            parts.append(
                model(IDS[:, start:stop], positions, cache=caches, allowed=allowed[None, None], planned_length=length)
            )
        torch.testing.assert_close(torch.cat(parts, 1), model(IDS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_packed_documents_do_not_see_each_other(name):
    model = redrawn(variant(name))
    first, second = IDS[:1, :8], IDS[1:, :11]
    places = torch.cat([torch.arange(8), torch.arange(11)])[None]
    with torch.no_grad():
        packed = model(torch.cat([first, second], 1), places, torch.tensor([[0] * 8 + [1] * 11]))
        torch.testing.assert_close(packed[:, :8], model(first), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(packed[:, 8:], model(second), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_weight_learns(name):
    model = redrawn(variant(name)).train()
    hidden = model(IDS)
    loss = -token_log_probs(
        hidden.flatten(0, 1), model.head_weight, IDS.flatten(), softcap=model.config.logit_softcap
    ).mean()
    loss.backward()
    unmoved = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    idle = {n for n in unmoved if ".experts." in n or n.endswith("k_proj.bias")}  # a key bias shifts all scores alike
    assert set(unmoved) == idle


def test_capped_log_probs_and_their_gradients_equal_the_plain_formula():
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(37, 16, generator=draw).requires_grad_()
    weight = torch.randn(50, 16, generator=draw).requires_grad_()
    targets = torch.randint(0, 50, (37,), generator=draw)
    pull = torch.randn(37, generator=draw)
    logp_NV = (4.0 * torch.tanh(hidden @ weight.T / 4.0) / 0.7).log_softmax(-1)
    plain = logp_NV.gather(1, targets[:, None]).squeeze(1)
    expected = torch.autograd.grad(plain @ pull, (hidden, weight), retain_graph=True)
    ours, entropy = token_log_probs_and_entropy(hidden, weight, targets, chunk=8, temperature=0.7, softcap=4.0)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(torch.autograd.grad(ours @ pull, (hidden, weight)), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(entropy, -(logp_NV.exp() * logp_NV).sum(-1).detach())


def test_operations_count_only_what_a_token_passes_through():
    config = variant("experts")
    expert = 3 * 32 * 24
    assert config.num_parameters - config.num_active_parameters == 3 * 4 * expert
    assert variant("window everywhere").flops_per_token(400) < TINY.flops_per_token(400)
    assert variant("window everywhere").flops_per_token(2) == TINY.flops_per_token(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_kinds": ("full",)}, "layer_kinds names 1 layers, num_layers=3"),
        ({"layer_kinds": ("full", "full", "sliding")}, "layer_kinds has sliding layers, but window is not set"),
        ({"rope": None, "local_rope": RopeConfig()}, "local_rope needs rope"),
        ({"rope": RopeConfig(rotary_share=0.3)}, r"rope.rotary_share turns 3 of head_dim=12 features; it takes pairs"),
        (
            {"rope": dataclasses.replace(LONGROPE, short_factors=(1.0,), long_factors=(1.0,))},
            "short_factors has 1 numb",
        ),
        ({"residual": "parallel", "norm": NormConfig(placement="post")}, "parallel blocks have norms before"),
        ({"more_eos_ids": (3, 99)}, "more_eos_ids=99 is outside the vocabulary of 67"),
        ({"mla": LATENT["mla"]}, r"latent attention needs head_dim=14 .* got head_dim=12, num_kv_heads=2"),
        (
            {"moe": dataclasses.replace(EXPERTS, dense_layers=(3,))},
            r"dense_layers names layer 3; there are layers 0 to 2",
        ),
    ],
)
def test_contradicting_settings_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TINY, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top_k": 7}, "top_k=7 is more than moe.num_experts=6"),
        ({"groups": 4}, r"moe.groups=4 does not divide moe.num_experts=6; use one of \[1, 2, 3, 6\]"),
        ({"groups": 3, "top_groups": 4}, "top_groups=4 is more than moe.groups=3"),
        ({"groups": 3, "top_k": 3}, "top_k=3, but moe.top_groups=1 leaves 2 experts to choose"),
    ],
)
def test_contradicting_experts_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(EXPERTS, **change)


def test_norms_and_rope_refuse_contradictions():
    with pytest.raises(ConfigError, match=r"an RMS norm has no bias"):
        NormConfig(bias=True)
    with pytest.raises(ConfigError, match=r"beta_fast=1.0 must not be below rope.beta_slow=2.0"):
        RopeConfig(kind="yarn", beta_fast=1.0, beta_slow=2.0)
    with pytest.raises(ConfigError, match=r"short_factors has 6 numbers, rope.long_factors 1"):
        dataclasses.replace(LONGROPE, long_factors=(1.0,))
