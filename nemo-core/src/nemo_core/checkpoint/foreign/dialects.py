"""Model configs as Megatron-LM, NeMo 1 and NeMo 2 write them down, as ours.

What is not representable, or says nothing to us and yet changes the numbers, is refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

from ...config import ModelConfig, MoEConfig, NormConfig, RopeConfig
from ...foundation.errors import ArtifactError, ConfigError

GATED = {"swiglu": "silu", "geglu": "gelu"}
FUNCTIONS = {
    "silu": "silu",
    "gelu": "gelu",
    "openai_gelu": "gelu_tanh",
    "gelu_tanh": "gelu_tanh",
    "squared_relu": "relu2",
}
NEUTRAL: tuple[Any, ...] = (None, False, 0, 0.0, "", [], {})
UNKNOWN_MATHS = (
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "query_pre_attn_scalar",
    "multi_latent_attention",
    "moe_expert_capacity_factor",
    "moe_latent_size",
    "qk_l2_norm",
    "no_rope_freq",
    "apply_residual_connection_post_layernorm",
    "attention_output_gate",
    "softmax_scale",
    "experimental_attention_variant",
    "mtp_num_layers",
    "window_attn_skip_freq",
    "headscale",
    "rotary_interleaved",
)


@dataclass(frozen=True)
class Facts:
    """Settings by name, and where they were read."""

    values: Mapping[str, Any]
    place: str

    def get(self, *names: str, default: Any = None) -> Any:
        """The first of several settings that is there and not null."""
        found = (self.values[name] for name in names if self.values.get(name) is not None)
        return next(found, default)

    def need(self, *names: str) -> Any:
        """The same. Raises ArtifactError where there is none."""
        value = self.get(*names)
        if value is None:
            raise ArtifactError(f"{self.place}: lacks {' or '.join(names)}")
        return value

    def refuse(self, name: str, why: str) -> ArtifactError:
        """The error for a setting that cannot be represented."""
        return ArtifactError(f"{self.place}: {name}={self.values.get(name)!r} is not representable: {why}")


def canonical_config(facts: Facts, *, rows: int, vocab_size: int | None = None) -> ModelConfig:
    """The config of a checkpoint whose embedding has `rows` rows.

    Its vocabulary is `vocab_size`, or what the settings say, or all rows, padding included. Raises ArtifactError.
    """
    check_maths(facts)
    heads = facts.need("num_attention_heads")
    known = vocab_size or facts.get("vocab_size", "override_vocab_size")
    bias = bool(facts.get("add_bias_linear", "bias", default=True))
    try:
        return ModelConfig(
            vocab_size=min(known, rows) if known else rows,
            hidden_size=facts.need("hidden_size"),
            num_layers=facts.need("num_layers"),
            num_heads=heads,
            num_kv_heads=kv_heads(facts, heads),
            head_dim=facts.get("kv_channels", default=facts.need("hidden_size") // heads),
            ffn_size=facts.get("ffn_hidden_size", default=4 * facts.need("hidden_size")),
            max_positions=facts.need("max_position_embeddings", "seq_length", "encoder_seq_length"),
            norm=norm(facts),
            norm_eps=facts.get("layernorm_epsilon", "norm_epsilon", default=1e-5),
            rope=rope(facts),
            window=window(facts),
            qk_norm="head" if facts.get("qk_layernorm") else "none",
            attention_bias=bias or bool(facts.get("add_qkv_bias")),
            output_bias=bias,
            mlp_bias=bias,
            **activation(facts),
            moe=experts(facts),
            embedding_scale=sqrt(facts.need("hidden_size")) if facts.get("apply_embedding_scaling") else None,
            tied_embeddings=is_tied(facts),
            initializer_range=facts.get("init_method_std", default=0.02),
        )
    except ConfigError as error:
        raise ArtifactError(f"{facts.place}: contradicts itself: {error}") from None


def check_maths(facts: Facts) -> None:
    """Raise ArtifactError for a setting that changes what a model computes in a way that is not read here."""
    for name in UNKNOWN_MATHS:
        if facts.get(name) not in NEUTRAL:
            raise facts.refuse(name, "this format is read for decoders without it")
    if "gemma" in str(facts.get("_target_", default="")).lower():
        raise facts.refuse("_target_", "this class computes more than its settings say")
    if facts.get("transformer_block_type", default="pre_ln") != "pre_ln":
        raise facts.refuse("transformer_block_type", "only pre_ln is")
    if facts.get("normalize_attention_scores", default=True) is not True:
        raise facts.refuse("normalize_attention_scores", "scores are divided by the root of the head width here")


def experts(facts: Facts) -> MoEConfig | None:
    """The experts and how a router picks them, with megatron.core's defaults; None where there are none."""
    number = facts.get("num_moe_experts", "num_experts")
    if not number:
        return None
    top_k, groups = facts.get("moe_router_topk", default=2), facts.get("moe_router_num_groups", default=1)
    score = facts.get("moe_router_score_function", default="softmax")
    top_groups = facts.get("moe_router_group_topk", default=1)
    return MoEConfig(
        num_experts=number,
        top_k=top_k,
        ffn_size=facts.get("moe_ffn_hidden_size") or facts.need("ffn_hidden_size"),
        score=score,
        normalize=top_k > 1 if score == "sigmoid" else not facts.get("moe_router_pre_softmax"),
        scale=float(facts.get("moe_router_topk_scaling_factor") or 1.0),
        correction_bias=bool(facts.get("moe_router_enable_expert_bias")),
        groups=groups,
        top_groups=top_groups,
        group_best=top_k // top_groups if groups > 1 else 2,
        shared_ffn_size=facts.get("moe_shared_expert_intermediate_size") or 0,
        shared_gate=bool(facts.get("moe_shared_expert_gate")),
        dense_layers=dense_layers(facts),
    )


def dense_layers(facts: Facts) -> tuple[int, ...]:
    """The layers without experts, of a list of zeros and ones or of every so many layers."""
    pattern, layers = facts.get("moe_layer_freq", default=1), range(facts.need("num_layers"))
    if isinstance(pattern, int) and pattern > 0:
        return tuple(layer for layer in layers if layer % pattern)
    if isinstance(pattern, list) and len(pattern) == len(layers):
        return tuple(layer for layer in layers if not pattern[layer])
    raise facts.refuse("moe_layer_freq", "known: a number, or a list with 0 or 1 for each layer")


def kv_heads(facts: Facts, heads: int) -> int:
    """Key/value heads; Megatron-LM names a number also where grouping is off."""
    if facts.get("group_query_attention", default=True) is False:
        return heads
    return int(facts.get("num_query_groups", default=heads))


def norm(facts: Facts) -> NormConfig:
    """The norm by its name in any of the three."""
    name = str(facts.get("normalization", default="layernorm")).lower()
    around_one = bool(facts.get("layernorm_zero_centered_gamma", "apply_layernorm_1p")) or name == "layernorm1p"
    if name == "rmsnorm":
        return NormConfig(zero_centered=around_one)
    if name in ("layernorm", "layernorm1p"):
        return NormConfig(kind="layer", bias=True, zero_centered=around_one)
    raise facts.refuse("normalization", "known: rmsnorm, layernorm, layernorm1p")


def rope(facts: Facts) -> RopeConfig | None:
    """How positions turn; None where they are learned."""
    kind = facts.get("position_embedding_type", default="learned_absolute")
    if kind == "learned_absolute":
        return None
    if kind != "rope":
        raise facts.refuse("position_embedding_type", "known: rope, learned_absolute")
    common: dict[str, Any] = {
        "theta": float(facts.get("rotary_base", default=10_000.0)),
        "rotary_share": float(facts.get("rotary_percent", "rotary_percentage", default=1.0)),
    }
    stretch = facts.get("seq_len_interpolation_factor", "rotary_seq_len_interpolation_factor")
    if stretch not in (None, 1, 1.0):
        return RopeConfig(kind="linear", factor=float(stretch), **common)
    if facts.get("old_context_len", "use_rope_scaling", "scale_positional_embedding") in NEUTRAL:
        return RopeConfig(**common)
    return RopeConfig(
        kind="llama3",
        factor=float(facts.get("scale_factor", "rope_scaling_factor", default=8.0)),
        low_frequency_factor=float(facts.get("low_freq_factor", default=1.0)),
        high_frequency_factor=float(facts.get("high_freq_factor", default=4.0)),
        original_positions=int(facts.get("old_context_len", default=8192)),
        **common,
    )


def window(facts: Facts) -> int | None:
    """Tokens a query sees, itself included; the three count those to its left."""
    size = facts.get("window_size")
    if size is None:
        return None
    left = size[0] if isinstance(size, (list, tuple)) else size
    return None if left < 0 else int(left) + 1


def activation(facts: Facts) -> dict[str, Any]:
    """The activation and whether it is gated.

    The fused bias and GELU of Megatron is the one by tanh, whatever the setting is called.
    """
    function, name = facts.get("activation_func"), facts.get("activation")
    if function is not None:
        target = str(function["_target_"] if isinstance(function, Mapping) else function).rsplit(".", 1)[-1]
        return named_activation(facts, "activation_func", target, gated=bool(facts.get("gated_linear_unit")))
    if name is not None:
        short = str(name).removeprefix("fast-").replace("-", "_")
        return named_activation(facts, "activation", GATED.get(short, short), gated=short in GATED)
    if facts.get("swiglu"):
        return {"activation": "silu", "gated_mlp": True}
    return named_activation(facts, "squared_relu", "squared_relu" if facts.get("squared_relu") else "gelu", gated=False)


def named_activation(facts: Facts, setting: str, name: str, *, gated: bool) -> dict[str, Any]:
    """The same, of a name."""
    if name not in FUNCTIONS:
        raise facts.refuse(setting, f"known: {', '.join(FUNCTIONS)}, and the gated {', '.join(GATED)}")
    by_tanh = facts.get("openai_gelu") or facts.get("bias_activation_fusion", "bias_gelu_fusion")
    canonical = "gelu_tanh" if FUNCTIONS[name] == "gelu" and by_tanh else FUNCTIONS[name]
    return {"activation": canonical, "gated_mlp": gated}


def is_tied(facts: Facts) -> bool:
    """Whether input and output embedding are one."""
    untied = facts.get("untie_embeddings_and_output_weights")
    return not untied if untied is not None else bool(facts.get("share_embeddings_and_output_weights", default=True))
