"""The megatron implementation computes what the native one does, or refuses by name."""

import dataclasses

import pytest
import torch

from nemo_core.config import MLAConfig, ModelConfig, MoEConfig, NormConfig, RopeConfig
from nemo_core.foundation.errors import ConfigError, InputError
from nemo_core.megatron.degrees import ALONE, Degrees
from nemo_core.megatron.representable import check_representable
from nemo_core.model.decoder import Decoder

from .workers.redrawn import redrawn

pytest.importorskip("megatron.core", reason="the library of this implementation is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

TINY = ModelConfig(
    vocab_size=67, hidden_size=32, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=12, ffn_size=40, max_positions=48
)
LAYER_NORM = NormConfig(kind="layer", bias=True)
LLAMA3 = RopeConfig(
    theta=5e5, kind="llama3", factor=8.0, low_frequency_factor=2.0, high_frequency_factor=6.0, original_positions=32
)
YARN = RopeConfig(kind="yarn", factor=4.0, original_positions=16)
LATENT = {
    "num_kv_heads": 4,
    "head_dim": 14,
    "mla": MLAConfig(kv_rank=10, q_rank=9, plain_dim=8, rotary_dim=6, value_dim=7),
}
GROUPED = {
    "num_experts": 8,
    "ffn_size": 24,
    "score": "sigmoid",
    "correction_bias": True,
    "groups": 4,
    "top_groups": 2,
    "shared_ffn_size": 40,
    "scale": 2.5,
}
VARIANTS = {
    "llama": {},
    "tied, biases": {"tied_embeddings": True, "attention_bias": True, "output_bias": True, "mlp_bias": True},
    "bias of queries to values": {"attention_bias": True},
    "bias of the output alone": {"output_bias": True},
    "one key head": {"num_kv_heads": 1, "head_dim": 10},
    "llama3 rope with four other numbers": {"rope": LLAMA3},
    "linear rope": {"rope": RopeConfig(kind="linear", factor=3.0)},
    "yarn": {"rope": YARN},
    "longrope": {
        "rope": RopeConfig(
            kind="longrope",
            factor=3.0,
            original_positions=16,
            short_factors=(1.0, 1.1, 1.2, 1.3, 1.4, 1.5),
            long_factors=(1.0, 1.5, 2.0, 2.5, 3.0, 3.5),
        )
    },
    "partial rope": {"rope": RopeConfig(rotary_share=0.5)},
    "gpt": {"norm": LAYER_NORM, "rope": None, "gated_mlp": False, "activation": "gelu_tanh", "mlp_bias": True},
    "squared relu, norm around one": {
        "norm": NormConfig(kind="layer", bias=True, zero_centered=True),
        "activation": "relu2",
        "gated_mlp": False,
        "rope": RopeConfig(rotary_share=0.5),
    },
    "sandwich, two ropes, windows, caps": {
        "norm": NormConfig(zero_centered=True, placement="sandwich"),
        "window": 5,
        "layer_kinds": ("sliding", "full", "sliding"),
        "local_rope": RopeConfig(theta=100.0),
        "query_scale": 0.2,
        "attention_softcap": 3.0,
        "logit_softcap": 5.0,
        "embedding_scale": 5.65,
        "tied_embeddings": True,
        "qk_norm": "head",
    },
    "norms behind": {"norm": NormConfig(placement="post")},
    "norms of heads": {"qk_norm": "head"},
    "norms of projections": {"qk_norm": "projection", "norm": NormConfig(placement="post")},
    "layers without positions": {"unturned_layers": (1,), "rope": YARN},
    "yarn where there is no window": {
        "window": 5,
        "layer_kinds": ("sliding", "full", "sliding"),
        "rope": YARN,
        "local_rope": RopeConfig(theta=100.0),
        "unturned_layers": (2,),
    },
    "norms of heads beside layer norms": {"qk_norm": "head", "norm": LAYER_NORM},
    "layer norm without bias": {"norm": NormConfig(kind="layer")},
    "parallel": {"norm": LAYER_NORM, "residual": "parallel", "gated_mlp": False, "activation": "gelu"},
    "parallel, one norm": {"norm": LAYER_NORM, "residual": "parallel_shared_norm", "num_kv_heads": 1},
    "window everywhere": {"window": 4},
    "experts": {"moe": MoEConfig(num_experts=5, top_k=2, ffn_size=24)},
    "experts, dense layers, weights not normalised": {
        "moe": MoEConfig(num_experts=6, top_k=3, ffn_size=24, normalize=False, dense_layers=(1,)),
        "qk_norm": "head",
        "tied_embeddings": True,
    },
    "one expert by softmax, weight one": {"moe": MoEConfig(num_experts=4, top_k=1, ffn_size=24)},
    "experts by sigmoid, weights as they are, groups judged by two": {
        "moe": MoEConfig(
            num_experts=8, top_k=3, ffn_size=24, score="sigmoid", normalize=False, groups=4, top_groups=3, group_best=2
        )
    },
    "a bias beside softmax": {"moe": MoEConfig(num_experts=5, top_k=2, ffn_size=24, correction_bias=True)},
    "latent attention": LATENT,
    "latent attention, queries direct, yarn turning with a factor, window": {
        **LATENT,
        "mla": MLAConfig(kv_rank=10, plain_dim=8, rotary_dim=6, value_dim=17),
        "rope": RopeConfig(kind="yarn", factor=4.0, original_positions=16, mscale=1.0, mscale_all=0.6),
        "query_scale": 0.3,
        "window": 6,
    },
    "latent attention, experts": {
        **LATENT,
        "moe": MoEConfig(**GROUPED, top_k=3, dense_layers=(0,)),
    },
    "experts in groups, one for all": {"moe": MoEConfig(**GROUPED, top_k=4, shared_gate=True, dense_layers=(0,))},
}
DRAW = torch.Generator().manual_seed(0)
IDS = torch.randint(0, 67, (2, 20), generator=DRAW)
SEGMENTS = torch.tensor([[0] * 8 + [1] * 12, [0] * 15 + [1] * 5])
POSITIONS = torch.tensor([[*range(8), *range(12)], [*range(15), *range(5)]])


@pytest.fixture(autouse=True)
def groups():
    from nemo_core.megatron.parallel import process_groups

    torch.set_num_threads(1)
    with process_groups():
        yield


def megatron_of(model: Decoder):
    from nemo_core.megatron.model import MegatronDecoder
    from nemo_core.megatron.weights import load_weights

    other = MegatronDecoder(model.config).eval()
    load_weights(other, model.state_dict().__getitem__)
    return other


def variant(name: str) -> ModelConfig:
    return dataclasses.replace(TINY, **VARIANTS[name])


@pytest.mark.parametrize("name", VARIANTS)
def test_logits_and_gradients_equal_the_native_ones(name):
    from nemo_core.megatron.weights import canonical_gradients

    native = redrawn(variant(name))
    other = megatron_of(native)
    ours, theirs = native.logits(native(IDS)), other.logits(other(IDS))
    assert (ours - theirs).abs().max() <= 5e-5
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2))
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    expected = {key: weight.grad for key, weight in native.named_parameters()}
    found = dict(canonical_gradients(other))
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(
            found[key], gradient, atol=2e-4, rtol=2e-4, msg=lambda text, key=key: f"{key}: {text}"
        )


@pytest.mark.parametrize("name", VARIANTS)
def test_packed_documents_do_not_see_each_other(name):
    native = redrawn(variant(name))
    other = megatron_of(native)
    with torch.no_grad():
        ours = native.logits(native(IDS, POSITIONS, SEGMENTS))
        theirs = other.logits(other(IDS, POSITIONS, SEGMENTS))
    assert (ours - theirs).abs().max() <= 5e-5


@pytest.mark.parametrize("name", VARIANTS)
def test_weights_come_back_bit_for_bit(name):
    from nemo_core.megatron.weights import canonical_weights

    native = redrawn(variant(name))
    back = dict(canonical_weights(megatron_of(native)))
    assert back.keys() == native.state_dict().keys()
    for key, weight in native.state_dict().items():
        assert torch.equal(back[key], weight), key


PACKED = ["llama", "gpt", "sandwich, two ropes, windows, caps", "norms of heads", "latent attention"]


@pytest.mark.parametrize("name", PACKED)
def test_packed_sequences_need_no_mask(name):
    other = megatron_of(redrawn(variant(name)))
    with torch.no_grad():
        masked = other(IDS, POSITIONS, SEGMENTS)
        other.packs = True  # as on a GPU
        packed = other(IDS, POSITIONS, SEGMENTS)
    torch.testing.assert_close(packed, masked, atol=1e-5, rtol=1e-5)


def test_a_text_beyond_the_positions_is_refused():
    with pytest.raises(InputError, match="49 tokens, but the model has 48 positions"):
        megatron_of(redrawn(TINY))(torch.zeros(1, 49, dtype=torch.long))


REFUSED = {
    "latent attention with biases": ({**LATENT, "attention_bias": True}, ALONE, False, "attention_bias=true with mla"),
    "latent attention with layer norms": (
        {**LATENT, "norm": LAYER_NORM},
        ALONE,
        False,
        "norm.kind=layer, norm.zero_centered=False with mla",
    ),
    "layer norms of projections": (
        {"qk_norm": "projection", "norm": LAYER_NORM},
        ALONE,
        False,
        "norm.kind=layer, norm.zero_centered=False with qk_norm=projection",
    ),
    "latent layers without positions": ({**LATENT, "unturned_layers": (1,)}, ALONE, False, "unturned_layers or local"),
    "experts with biases": (
        {"moe": MoEConfig(num_experts=4, top_k=2, ffn_size=8), "mlp_bias": True},
        ALONE,
        True,
        "mlp_bias=true with experts",
    ),
    "experts over tensor ranks": (
        {"moe": MoEConfig(num_experts=4, top_k=2, ffn_size=9)},
        Degrees(tensor=2),
        False,
        "parallel.tensor=2 does not divide moe.ffn_size=9",
    ),
    "no experts to share": ({}, Degrees(expert=2), True, "parallel.expert=2: this model has no experts"),
    "yarn, partial": (
        {"rope": RopeConfig(kind="yarn", factor=4.0, rotary_share=0.5)},
        ALONE,
        False,
        "rope.rotary_share=0.5",
    ),
    "stages": ({}, Degrees(pipeline=2), False, "parallel.pipeline=2 x parallel.stages_per_rank=1 does not divide"),
    "context": ({}, Degrees(context=2), False, "parallel.context=2 needs a GPU"),
    "sequence": ({}, Degrees(tensor=2, sequence_parallel=True), False, "parallel.sequence=true needs a GPU"),
    "key heads": ({}, Degrees(tensor=4), False, "parallel.tensor=4 does not divide num_kv_heads=2"),
    "capped scores with TE": ({"attention_softcap": 3.0}, ALONE, True, "attention_softcap=3.0: Transformer Engine"),
    "norms behind with TE": ({"norm": NormConfig(placement="post")}, ALONE, True, "norm.placement=post"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_represented_is_refused_by_name(name):
    changes, degrees, on_gpu, message = REFUSED[name]
    with pytest.raises(ConfigError, match=f"implementation=megatron: {message}.*use implementation=native"):
        check_representable(dataclasses.replace(TINY, **changes), degrees, on_gpu=on_gpu)
