"""``config.json`` of Qwen2ForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_layer_kinds, read_shape, read_tokens, write_layer_kinds, write_shape
from ..rope import read_rope, write_rope


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; queries, keys and values always have biases, the last layers may have a window."""
    return ModelConfig(
        family="qwen2",
        **read_shape(hf, kv_heads=32),
        **read_tokens(hf),
        max_positions=hf.get("max_position_embeddings", 32768),
        norm_eps=hf.get("rms_norm_eps", 1e-6),
        rope=read_rope(hf),
        **read_windows(hf),
        activation=hf.activation("hidden_act", default="silu"),
        attention_bias=True,
        tied_embeddings=hf.flag("tie_word_embeddings"),
    )


def read_windows(hf: HFConfig) -> dict[str, Any]:
    """Windows from layer ``max_window_layers`` on, where ``use_sliding_window`` is on."""
    if not hf.get("use_sliding_window"):
        return {}
    first = hf.get("max_window_layers", 28)
    default = [
        "sliding_attention" if layer >= first else "full_attention" for layer in range(hf.need("num_hidden_layers"))
    ]
    return read_layer_kinds(hf, default)


def write_windows(config: ModelConfig) -> dict[str, Any]:
    """The entries that `read_windows` reads, and their older spelling."""
    kinds = [config.layer_kind(layer) for layer in range(config.num_layers)]
    first = kinds.index("sliding") if "sliding" in kinds else config.num_layers
    return {**write_layer_kinds(config), "use_sliding_window": "sliding" in kinds, "max_window_layers": first}


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Qwen 2 folder."""
    return {
        "model_type": "qwen2",
        **write_shape(config),
        **write_rope(config.rope),
        **write_windows(config),
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "rms_norm_eps": config.norm_eps,
    }
