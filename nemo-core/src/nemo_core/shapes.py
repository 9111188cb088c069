"""Every tensor of a model: canonical name, shape, and the axis that tensor parallelism cuts.

Names follow a Hugging Face Llama folder and are the same in every family. Norms are named by what they do:
``input_layernorm`` before attention, ``attention_output_layernorm`` after it, ``post_attention_layernorm`` before the
feed-forward, ``mlp_output_layernorm`` after it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config import ModelConfig

Named = Iterator[tuple[str, "TensorSpec"]]


@dataclass(frozen=True)
class TensorSpec:
    """`shard_axis` is None for what every rank holds whole; `trained` is false for state that steps adjust by rule."""

    shape: tuple[int, ...]
    shard_axis: int | None = None
    trained: bool = True


def tensor_specs(config: "ModelConfig") -> dict[str, TensorSpec]:
    """Canonical tensors in the order of the model; a tied output head is none of its own."""
    hidden = config.hidden_size
    specs = {"model.embed_tokens.weight": TensorSpec((config.vocab_size, hidden), 0)}
    if config.rope is None:
        specs["model.embed_positions.weight"] = TensorSpec((config.max_positions, hidden))
    for layer in range(config.num_layers):
        specs |= {f"model.layers.{layer}.{name}": spec for name, spec in layer_specs(config, layer)}
    specs |= dict(norm_specs(config, "model.norm", hidden))
    if not config.tied_embeddings:
        specs["lm_head.weight"] = TensorSpec((config.vocab_size, hidden), 0)
    return specs


def layer_specs(config: "ModelConfig", layer: int) -> Named:
    """Tensors of one layer."""
    hidden = config.hidden_size
    for name in norm_names(config):
        yield from norm_specs(config, name, hidden)
    yield from attention_specs(config) if config.mla is None else latent_specs(config)
    moe = config.layer_moe(layer)
    if moe is None:
        yield from mlp_specs(config, "mlp", config.ffn_size)
        return
    yield "mlp.gate.weight", TensorSpec((moe.num_experts, hidden))
    if moe.correction_bias:
        yield "mlp.gate.e_score_correction_bias", TensorSpec((moe.num_experts,), trained=False)
    for expert in range(moe.num_experts):
        yield from mlp_specs(config, f"mlp.experts.{expert}", moe.ffn_size)
    if moe.shared_ffn_size:
        yield from mlp_specs(config, "mlp.shared_experts", moe.shared_ffn_size)
    if moe.shared_gate:
        yield "mlp.shared_expert_gate.weight", TensorSpec((1, hidden))


def norm_names(config: "ModelConfig") -> tuple[str, ...]:
    """The norms of a layer."""
    before = ("input_layernorm", "post_attention_layernorm")
    after = ("attention_output_layernorm", "mlp_output_layernorm")
    if config.residual == "parallel_shared_norm":
        return before[:1]
    return {"pre": before, "post": after, "sandwich": before + after}[config.norm.placement]


def norm_specs(config: "ModelConfig", name: str, width: int) -> Named:
    """A norm's weight, and its bias where it has one."""
    yield f"{name}.weight", TensorSpec((width,))
    if config.norm.bias:
        yield f"{name}.bias", TensorSpec((width,))


def linear_specs(name: str, shape: tuple[int, int], *, bias: bool, axis: int | None) -> Named:
    """A linear layer [out, in], cut by outputs (0), by inputs (1) or not at all; its bias goes with the outputs."""
    yield f"{name}.weight", TensorSpec(shape, axis)
    if bias:
        yield f"{name}.bias", TensorSpec(shape[:1], 0 if axis == 0 else None)


def attention_specs(config: "ModelConfig") -> Named:
    """Projections to and from heads, and the norms of queries and keys."""
    hidden, head_dim, bias = config.hidden_size, config.head_dim, config.attention_bias
    heads = {"q": config.num_heads, "k": config.num_kv_heads, "v": config.num_kv_heads}
    for name, count in heads.items():
        yield from linear_specs(f"self_attn.{name}_proj", (count * head_dim, hidden), bias=bias, axis=0)
    shape = hidden, config.num_heads * head_dim
    yield from linear_specs("self_attn.o_proj", shape, bias=config.output_bias, axis=1)
    if config.qk_norm != "none":
        for name in ("q", "k"):
            width = head_dim if config.qk_norm == "head" else heads[name] * head_dim
            axis = None if config.qk_norm == "head" else 0
            yield f"self_attn.{name}_norm.weight", TensorSpec((width,), axis)


def latent_specs(config: "ModelConfig") -> Named:
    """The same of latent attention."""
    mla, hidden, heads, bias = config.mla, config.hidden_size, config.num_heads, config.attention_bias
    assert mla is not None
    queries = heads * config.head_dim
    if mla.q_rank is None:
        yield from linear_specs("self_attn.q_proj", (queries, hidden), bias=False, axis=0)
    else:
        yield from linear_specs("self_attn.q_a_proj", (mla.q_rank, hidden), bias=bias, axis=None)
        yield "self_attn.q_a_layernorm.weight", TensorSpec((mla.q_rank,))
        yield from linear_specs("self_attn.q_b_proj", (queries, mla.q_rank), bias=False, axis=0)
    shape = mla.kv_rank + mla.rotary_dim, hidden
    yield from linear_specs("self_attn.kv_a_proj_with_mqa", shape, bias=bias, axis=None)
    yield "self_attn.kv_a_layernorm.weight", TensorSpec((mla.kv_rank,))
    grown = heads * (mla.plain_dim + mla.value_dim)
    yield from linear_specs("self_attn.kv_b_proj", (grown, mla.kv_rank), bias=False, axis=0)
    yield from linear_specs("self_attn.o_proj", (hidden, heads * mla.value_dim), bias=config.output_bias, axis=1)


def mlp_specs(config: "ModelConfig", name: str, width: int) -> Named:
    """A feed-forward of the given width."""
    hidden, bias = config.hidden_size, config.mlp_bias
    for part in ("gate_proj", "up_proj") if config.gated_mlp else ("up_proj",):
        yield from linear_specs(f"{name}.{part}", (width, hidden), bias=bias, axis=0)
    yield from linear_specs(f"{name}.down_proj", (hidden, width), bias=bias, axis=1)
