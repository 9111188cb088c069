"""On a GPU: Transformer Engine's layers compute what the native ones do, alone and in eight bits."""

import dataclasses

import pytest
import torch

from nemo_core.config import ModelConfig, NormConfig, RopeConfig
from nemo_core.model.decoder import Decoder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="Transformer Engine needs a CUDA device"),
]

SHAPE = ModelConfig(
    vocab_size=512, hidden_size=128, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=32, ffn_size=256
)
VARIANTS = {
    "llama": {},
    "biases, tied": {"attention_bias": True, "output_bias": True, "mlp_bias": True, "tied_embeddings": True},
    "llama3 rope": {"rope": RopeConfig(kind="llama3", factor=8.0, original_positions=32)},
    "norms of heads": {"qk_norm": "head"},
    "window": {"window": 16},
    "norms around one, on both sides": {"norm": NormConfig(zero_centered=True, placement="sandwich")},
}
IDS = torch.randint(0, 512, (2, 64), generator=torch.Generator().manual_seed(0))
SEGMENTS = torch.tensor([[0] * 24 + [1] * 40, [0] * 50 + [1] * 14])


@pytest.fixture(autouse=True)
def groups():
    pytest.importorskip("transformer_engine", reason="Transformer Engine is not installed")
    from nemo_core.megatron.parallel import process_groups

    with process_groups():
        yield


def both(name: str, **options):
    from nemo_core.megatron.model import MegatronDecoder
    from nemo_core.megatron.weights import load_weights

    native = Decoder(dataclasses.replace(SHAPE, **VARIANTS[name]), seed=0)
    other = MegatronDecoder(native.config, on_gpu=True, **options).cuda().eval()
    load_weights(other, dict(native.named_parameters()).__getitem__)
    return native.cuda().eval(), other


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / one.norm())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
def test_transformer_engine_equals_native_in_bfloat16(name, packed):
    native, other = both(name)
    segments = SEGMENTS.cuda() if packed else None
    with torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16):
        ours, theirs = (model.logits(model(IDS.cuda(), segments_BT=segments)).float() for model in (native, other))
    assert relative(ours, theirs) <= 0.02


def test_eight_bits_stay_near():
    from nemo_core.megatron.settings import Fp8Settings

    native, other = both("llama", fp8=Fp8Settings(format="hybrid"))
    with torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16):
        ours, theirs = (model.logits(model(IDS.cuda())).float() for model in (native, other))
    assert relative(ours, theirs) <= 0.1
