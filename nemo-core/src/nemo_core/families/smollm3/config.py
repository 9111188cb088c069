"""``config.json`` of SmolLM3ForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig
from ..hf import HFConfig, read_layer_kinds, write_layer_kinds
from ..llama.config import read_llama, write_llama


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config: Llama, of which every fourth layer has no positions."""
    turned = hf.get("no_rope_layers")  # despite its name 1 where a layer turns
    if turned is None:
        interval = hf.get("no_rope_layer_interval", 4)
        turned = [(layer + 1) % interval != 0 for layer in range(hf.need("num_hidden_layers"))]
    defaults = {"tie_word_embeddings": True, "max_position_embeddings": 32768, "num_key_value_heads": 4}
    values = {**defaults, **hf.values}
    return ModelConfig(
        family="smollm3",
        **read_llama(HFConfig(values, hf.place), theta=2_000_000.0, bos=128000, eos=128001, pad=128004),
        **(read_windows(hf, turned) if hf.get("use_sliding_window") else {}),
        unturned_layers=tuple(layer for layer, turns in enumerate(turned) if not turns),
    )


def read_windows(hf: HFConfig, turned: list[Any]) -> dict[str, Any]:
    """Windows in the layers without positions."""
    default = ["full_attention" if turns else "sliding_attention" for turns in turned]
    return read_layer_kinds(hf, default if hf.get("sliding_window") else ["full_attention"] * len(turned))


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a SmolLM 3 folder."""
    return {
        "model_type": "smollm3",
        **write_llama(config),
        **write_layer_kinds(config),
        "use_sliding_window": config.window is not None,
        "no_rope_layers": [int(layer not in config.unturned_layers) for layer in range(config.num_layers)],
    }
