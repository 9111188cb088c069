"""``config.json`` of Olmo3ForCausalLM, both ways."""

import dataclasses
from typing import Any

from ...config import ModelConfig, RopeConfig
from ..gemma2.config import alternating, with_window
from ..hf import HFConfig, read_layer_kinds, write_layer_kinds
from ..olmo2.config import from_hf as olmo2_from_hf
from ..olmo2.config import to_hf as olmo2_to_hf
from ..rope import read_ropes, write_ropes

THETA = 500_000.0


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config: OLMo 2 with three layers with a window to one without; only the latter are stretched."""
    rope, local = read_ropes(hf, theta=THETA, local_theta=THETA)
    plain = {name: value for name, value in hf.values.items() if name not in ("rope_parameters", "rope_scaling")}
    layers = read_layer_kinds(with_window(hf), alternating(hf, 4))
    return dataclasses.replace(
        olmo2_from_hf(HFConfig(plain, hf.place)),
        family="olmo3",
        rope=rope,
        local_rope=None if local == rope else local,
        **layers,
    )


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of an OLMo 3 folder."""
    rope = config.rope or RopeConfig()
    written = {**olmo2_to_hf(config), **write_layer_kinds(config), **write_ropes(rope, config.local_rope or rope)}
    return {**written, "model_type": "olmo3"}
