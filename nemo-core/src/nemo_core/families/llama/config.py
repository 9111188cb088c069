"""``config.json`` of LlamaForCausalLM, both ways."""

from collections.abc import Mapping
from typing import Any

from ...config import ModelConfig, RopeConfig
from ...foundation.errors import ArtifactError

REQUIRED = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


def from_hf(values: Mapping[str, Any], *, place: str) -> ModelConfig:
    """The canonical config; ArtifactError names a missing key or a setting that has no counterpart."""
    missing = [name for name in REQUIRED if name not in values]
    if missing:
        raise ArtifactError(f"{place}: lacks {', '.join(missing)}")
    if values.get("hidden_act", "silu") != "silu":
        raise ArtifactError(f"{place}: hidden_act={values['hidden_act']!r} is not representable; Llama uses 'silu'")
    heads = values["num_attention_heads"]
    return ModelConfig(
        family="llama",
        vocab_size=values["vocab_size"],
        hidden_size=values["hidden_size"],
        num_layers=values["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=values.get("num_key_value_heads") or heads,
        head_dim=values.get("head_dim") or values["hidden_size"] // heads,
        ffn_size=values["intermediate_size"],
        max_positions=values.get("max_position_embeddings", 2048),
        norm_eps=values.get("rms_norm_eps", 1e-6),
        rope=rope_from_hf(values, place=place),
        attention_bias=bool(values.get("attention_bias", False)),
        output_bias=bool(values.get("attention_bias", False)),
        mlp_bias=bool(values.get("mlp_bias", False)),
        tied_embeddings=bool(values.get("tie_word_embeddings", False)),
        initializer_range=values.get("initializer_range", 0.02),
        bos_id=values.get("bos_token_id"),
        eos_id=first(values.get("eos_token_id")),
        pad_id=values.get("pad_token_id"),
    )


def first(value: int | list[int] | None) -> int | None:
    """The first of several ids."""
    return (value[0] if value else None) if isinstance(value, list) else value


def rope_from_hf(values: Mapping[str, Any], *, place: str) -> RopeConfig:
    """Rotary settings, from ``rope_parameters`` (transformers 5) or ``rope_theta`` and ``rope_scaling`` (before)."""
    rope = {**(values.get("rope_scaling") or {}), **(values.get("rope_parameters") or {})}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "linear", "llama3"):
        raise ArtifactError(f"{place}: rope type {kind!r} is not supported; known: default, linear, llama3")
    if rope.get("partial_rotary_factor", values.get("partial_rotary_factor", 1.0)) != 1.0:
        raise ArtifactError(f"{place}: partial_rotary_factor is not supported for this family")
    return RopeConfig(
        theta=float(rope.get("rope_theta", values.get("rope_theta", 10_000.0))),
        kind=kind,
        factor=float(rope.get("factor", 1.0)),
        low_frequency_factor=float(rope.get("low_freq_factor", 1.0)),
        high_frequency_factor=float(rope.get("high_freq_factor", 4.0)),
        original_positions=int(rope.get("original_max_position_embeddings", 8192)),
    )


def to_hf(config: ModelConfig, *, dtype: str) -> dict[str, Any]:
    """The ``config.json`` that transformers 5 reads, with the older spelling of RoPE beside it for other readers."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.ffn_size,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": rope_to_hf(config.rope),
        "rope_theta": config.rope.theta,
        "attention_bias": config.attention_bias,
        "mlp_bias": config.mlp_bias,
        "attention_dropout": 0.0,
        "tie_word_embeddings": config.tied_embeddings,
        "initializer_range": config.initializer_range,
        "use_cache": True,
        "bos_token_id": config.bos_id,
        "eos_token_id": config.eos_id,
        "pad_token_id": config.pad_id,
        "dtype": dtype,
    }


def rope_to_hf(rope: RopeConfig) -> dict[str, Any]:
    """The ``rope_parameters`` entry."""
    values: dict[str, Any] = {"rope_type": rope.kind, "rope_theta": rope.theta}
    if rope.kind != "default":
        values["factor"] = rope.factor
    if rope.kind == "llama3":
        values |= {
            "low_freq_factor": rope.low_frequency_factor,
            "high_freq_factor": rope.high_frequency_factor,
            "original_max_position_embeddings": rope.original_positions,
        }
    return values
