"""First weights drawn one at a time are those drawn all at once, whoever asks for which."""

import torch

from nemo_core.config import ModelConfig, MoEConfig, NormConfig
from nemo_core.model.decoder import Decoder
from nemo_core.model.initial import DrawnWeights

CONFIG = ModelConfig(
    vocab_size=67,
    hidden_size=32,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=12,
    ffn_size=40,
    attention_bias=True,
    norm=NormConfig(zero_centered=True),
    moe=MoEConfig(num_experts=3, top_k=1, ffn_size=8, correction_bias=True, dense_layers=(0,)),
)


def test_weights_drawn_in_any_order_are_those_of_the_whole_model():
    expected = Decoder(CONFIG, seed=5).state_dict()
    with torch.device("meta"):
        outline = Decoder(CONFIG)
    drawn = DrawnWeights(outline, CONFIG, seed=5)
    for name in reversed(expected):
        assert torch.equal(drawn(name), expected[name]), name
    assert torch.equal(drawn("lm_head.weight"), expected["lm_head.weight"])


def test_another_seed_draws_other_weights():
    outline = Decoder(CONFIG)
    one, other = (DrawnWeights(outline, CONFIG, seed=seed)("lm_head.weight") for seed in (0, 1))
    assert not torch.equal(one, other)
