"""``config.json`` of Phi3ForCausalLM, both ways."""

from typing import Any

from ...config import ModelConfig
from ..hf import ACTIVATION_NAMES, HFConfig, read_shape, read_tokens, write_shape
from ..rope import read_rope, write_rope


def from_hf(hf: HFConfig) -> ModelConfig:
    """The canonical config; long contexts by longrope."""
    return ModelConfig(
        family="phi3",
        **read_shape(hf),
        **read_tokens(hf, bos=1, eos=32000, pad=32000),
        max_positions=hf.get("max_position_embeddings", 4096),
        norm_eps=hf.get("rms_norm_eps", 1e-5),
        rope=read_rope(renamed_yarn(hf), share=1.0),
        window=hf.get("sliding_window"),
        activation=hf.activation("hidden_act", default="silu"),
        tied_embeddings=hf.flag("tie_word_embeddings"),
    )


def renamed_yarn(hf: HFConfig) -> HFConfig:
    """Early folders call longrope "yarn"; and positions before stretching default to 4096."""
    values = {"original_max_position_embeddings": 4096, **hf.values}
    for name in ("rope_scaling", "rope_parameters"):
        entry = values.get(name)
        if entry and entry.get("rope_type", entry.get("type")) == "yarn":
            values[name] = {**entry, "rope_type": "longrope"}
    return HFConfig(values, hf.place)


def to_hf(config: ModelConfig) -> dict[str, Any]:
    """The entries of a Phi-3 folder."""
    rope = config.rope
    stretched = rope is not None and rope.kind == "longrope"
    return {
        "model_type": "phi3",
        **write_shape(config),
        **write_rope(rope),
        "original_max_position_embeddings": rope.original_positions if rope and stretched else config.max_positions,
        "hidden_act": ACTIVATION_NAMES[config.activation],
        "rms_norm_eps": config.norm_eps,
        "sliding_window": config.window,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
    }
