"""QLoRA: frozen weights in four bits, computed with as NormalFloat4 rounds them; adapters learn in full precision."""

import sys
from statistics import NormalDist

import pytest
import torch
from torch import nn

from nemo_core.config import ModelConfig
from nemo_core.foundation.errors import ConfigError, MissingBackend
from nemo_core.model.decoder import Decoder
from nemo_core.peft.adapter import add_adapter
from nemo_core.peft.merge import merge
from nemo_core.peft.places import places
from nemo_core.peft.quantize import QuantizedLinear, quantized
from nemo_core.peft.settings import LoraSettings

CONFIG = ModelConfig(
    vocab_size=61, hidden_size=64, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=32, ffn_size=128
)
IDS = torch.tensor([[5, 17, 3, 40, 41, 2]])
QLORA = LoraSettings(rank=4, quantize="nf4")


def nf4_levels() -> torch.Tensor:
    """The sixteen levels: quantiles of the normal distribution, scaled to 1 (Dettmers et al. 2023, section 3)."""
    edge = 0.5 * ((1 - 1 / 32) + (1 - 1 / 30))
    quantile = NormalDist().inv_cdf
    above = [quantile(float(p)) for p in torch.linspace(edge, 0.5, 9, dtype=torch.float64)[:-1]]
    below = [-quantile(float(p)) for p in torch.linspace(edge, 0.5, 8, dtype=torch.float64)[:-1]]
    levels = torch.tensor(sorted([*above, 0.0, *below]))
    return levels / levels.max()


@pytest.mark.slow
def test_weights_are_those_of_normal_float_4():
    pytest.importorskip("bitsandbytes", reason="the extra [qlora] is not installed")
    layer = nn.Linear(64, 128)
    block = layer.weight.detach().reshape(-1, 64)
    largest = block.abs().amax(1, keepdim=True)
    levels = nf4_levels()
    nearest = levels[(block / largest)[..., None].sub(levels).abs().argmin(-1)] * largest
    rounded = quantized(layer).weight.reshape(-1, 64)
    torch.testing.assert_close(rounded, nearest, rtol=0.02, atol=0.01 * float(largest.max()))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "dora"])
def test_an_adapter_learns_over_weights_in_four_bits(method):
    pytest.importorskip("bitsandbytes", reason="the extra [qlora] is not installed")
    model = add_adapter(Decoder(CONFIG, seed=0), method, QLORA)
    frozen = {name: place.base for name, place in places(model).items()}
    assert {type(base) for base in frozen.values()} == {QuantizedLinear}
    assert not any("base.weight" in name for name, _ in model.named_parameters())
    plain = Decoder(CONFIG, seed=0)
    for name, base in frozen.items():
        assert base.packed.nbytes * 8 == base.weight.nbytes, "four bits for each number of 32"
        plain.get_submodule(name).weight.data.copy_(base.weight)
    torch.testing.assert_close(model(IDS), plain(IDS))
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=0.02)
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(model.logits(model(IDS))[0, :-1], IDS[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    with pytest.raises(ConfigError, match="is kept in 4 bits; load the model unquantised, then the adapter, and merge"):
        merge(model)


def test_without_bitsandbytes_the_extra_is_named_and_the_model_stays_as_it_was(monkeypatch):
    for name in ("bitsandbytes", "bitsandbytes.functional"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "nemo_core.peft.bitsandbytes", raising=False)
    model = Decoder(CONFIG, seed=0)
    with pytest.raises(
        MissingBackend, match=r"quantization 'nf4' needs the library .* pip install 'nemo-core\[qlora\]'"
    ):
        add_adapter(model, "lora", QLORA)
    assert not places(model)
    assert all(weight.requires_grad for weight in model.parameters())
