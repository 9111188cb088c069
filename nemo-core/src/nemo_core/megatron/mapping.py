"""Which canonical tensors make up which tensor of megatron.core, for every family.

Names are those of megatron.core's checkpoints, where a norm belongs to the linear layer behind it (as Transformer
Engine fuses them). `local_name` gives the name in a model of the local specification.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from ..checkpoint.mapping.transforms import Inverse, PairOrder
from ..config import ModelConfig
from ..foundation.errors import ConfigError
from ..shapes import tensor_specs
from .joins import Join, PaddedRows, gate_up, grouped_qkv, same

LAYER = "decoder.layers."
EXPERTS = "mlp.experts.experts."
ALONE_WITH_EXPERTS = {"mlp.linear_fc1.layer_norm_": "pre_mlp_layernorm."}
ALONE_WITH_LATENTS = {
    "self_attention.linear_qkv.layer_norm_": "input_layernorm.",
    "self_attention.q_layernorm.": "self_attention.linear_q_up_proj.layer_norm_",
    "self_attention.kv_layernorm.": "self_attention.linear_kv_up_proj.layer_norm_",
}
FUSED_NORMS = {
    "self_attention.linear_qkv.layer_norm_": "input_layernorm.",
    "mlp.linear_fc1.layer_norm_": "pre_mlp_layernorm.",
}


@dataclass(frozen=True)
class Entry:
    """A tensor of megatron.core and the canonical tensors in it.

    `layer` is None outside the layers, `expert` outside the experts. `written` is the name without numbers that
    megatron.core's checkpoints of Transformer Engine models have. A `mirror` is a copy of what another entry has.
    """

    name: str
    parts: tuple[str, ...]
    join: Join
    layer: int | None = None
    expert: int | None = None
    written: str = ""
    mirror: bool = False

    @property
    def full_name(self) -> str:
        """The name with the numbers of its layer and expert."""
        name = self.name if self.expert is None else self.name.replace(EXPERTS, f"{EXPERTS}{self.expert}.")
        return name if self.layer is None else f"{LAYER}{self.layer}.{name}"


def entries(config: ModelConfig, *, vocabulary: int) -> list[Entry]:
    """Every tensor of a model whose embedding has `vocabulary` rows (padding included), in order.

    Raises ConfigError naming a tensor that has no place in megatron.core.
    """
    rows = PaddedRows(config.vocab_size, vocabulary)
    table = [Entry("embedding.word_embeddings.weight", ("model.embed_tokens.weight",), rows)]
    if config.rope is None:
        table.append(Entry("embedding.position_embeddings.weight", ("model.embed_positions.weight",), same()))
    for layer in range(config.num_layers):
        table += layer_entries(config, layer)
    for kind in kinds(config.norm.bias):
        table.append(Entry(f"decoder.final_layernorm.{kind}", (f"model.norm.{kind}",), same()))
    if not config.tied_embeddings:
        table.append(Entry("output_layer.weight", ("lm_head.weight",), rows))
    without_place = sorted(tensor_specs(config).keys() - {part for entry in table for part in entry.parts})
    if without_place:
        raise ConfigError(
            f"{without_place[0]} has no place in a model of megatron.core; keep format=hf, or implementation=native"
        )
    return table


def kinds(has_bias: bool) -> tuple[str, ...]:
    """The tensors of a layer with or without bias."""
    return ("weight", "bias") if has_bias else ("weight",)


def layer_entries(config: ModelConfig, layer: int) -> Iterator[Entry]:
    """The tensors of one layer, with the names of its place in the model."""
    place, has_experts = f"model.layers.{layer}.", config.layer_moe(layer) is not None
    attention = attention_rows(config) if config.mla is None else latent_rows(config)
    feed_forward = expert_rows(config, layer) if has_experts else mlp_rows(config)
    for name, parts, join in [*norm_rows(config), *attention, *feed_forward]:
        expert = re.search(r"^mlp\.experts\.(\d+)\.", parts[0])
        named = tuple(place + part for part in parts)
        written = written_name(name, has_experts=has_experts, has_latents=config.mla is not None)
        yield Entry(name, named, join, layer, int(expert[1]) if expert else None, written)


def written_name(name: str, *, has_experts: bool, has_latents: bool) -> str:
    """The name that Transformer Engine gives a tensor: a norm is part of the linear layer behind it, if it is one."""
    alone = (ALONE_WITH_EXPERTS if has_experts else {}) | (ALONE_WITH_LATENTS if has_latents else {})
    for former, other in alone.items():
        name = name.replace(former, other)
    return name


Row = tuple[str, tuple[str, ...], Join]


def norm_rows(config: ModelConfig) -> Iterator[Row]:
    """The norms before and behind attention and feed-forward."""
    before = {
        "self_attention.linear_qkv.layer_norm_": "input_layernorm.",
        "mlp.linear_fc1.layer_norm_": "post_attention_layernorm.",
    }
    behind = {
        "self_attention.linear_proj.post_layernorm.": "attention_output_layernorm.",
        "mlp.linear_fc2.post_layernorm.": "mlp_output_layernorm.",
    }
    placed = {"pre": before, "post": behind, "sandwich": before | behind}[config.norm.placement]
    if config.residual == "parallel_shared_norm":
        placed = dict(list(before.items())[:1])
    for name, part in placed.items():
        for kind in kinds(config.norm.bias):
            yield name + kind, (part + kind,), same()


def attention_rows(config: ModelConfig) -> Iterator[Row]:
    """Queries, keys and values as one; the output; the norms of queries and keys."""
    qkv = grouped_qkv(config.num_heads, config.num_kv_heads, config.head_dim)
    for kind in kinds(config.attention_bias):
        yield f"self_attention.linear_qkv.{kind}", tuple(f"self_attn.{letter}_proj.{kind}" for letter in "qkv"), qkv
    for kind in kinds(config.output_bias):
        yield f"self_attention.linear_proj.{kind}", (f"self_attn.o_proj.{kind}",), same(row_axis(kind))
    axis = 0 if config.qk_norm == "projection" else None
    for letter in "qk" if config.qk_norm != "none" else "":
        yield f"self_attention.{letter}_layernorm.weight", (f"self_attn.{letter}_norm.weight",), same(axis)


def latent_rows(config: ModelConfig) -> Iterator[Row]:
    """Latent attention; the features that positions turn lie as pairs in megatron.core, which reorders them itself."""
    mla = config.mla
    assert mla is not None
    query = Join(Inverse(PairOrder(config.head_dim, mla.rotary_dim, mla.plain_dim)), 0)
    shared_key = Join(Inverse(PairOrder(mla.kv_rank + mla.rotary_dim, mla.rotary_dim, mla.kv_rank)))
    if mla.q_rank is None:
        yield "self_attention.linear_q_proj.weight", ("self_attn.q_proj.weight",), query
    else:
        yield "self_attention.linear_q_down_proj.weight", ("self_attn.q_a_proj.weight",), same()
        yield "self_attention.q_layernorm.weight", ("self_attn.q_a_layernorm.weight",), same()
        yield "self_attention.linear_q_up_proj.weight", ("self_attn.q_b_proj.weight",), query
    yield "self_attention.linear_kv_down_proj.weight", ("self_attn.kv_a_proj_with_mqa.weight",), shared_key
    yield "self_attention.kv_layernorm.weight", ("self_attn.kv_a_layernorm.weight",), same()
    yield "self_attention.linear_kv_up_proj.weight", ("self_attn.kv_b_proj.weight",), same(0)
    yield "self_attention.linear_proj.weight", ("self_attn.o_proj.weight",), same(1)


def mlp_rows(config: ModelConfig, *, name: str = "mlp.", part: str = "mlp.") -> Iterator[Row]:
    """Gate and up projection as one, or the up projection alone; the down projection."""
    for kind in kinds(config.mlp_bias):
        up = f"{part}up_proj.{kind}"
        if config.gated_mlp:
            yield f"{name}linear_fc1.{kind}", (f"{part}gate_proj.{kind}", up), gate_up()
        else:
            yield f"{name}linear_fc1.{kind}", (up,), same(0)
        yield f"{name}linear_fc2.{kind}", (f"{part}down_proj.{kind}",), same(row_axis(kind))


def expert_rows(config: ModelConfig, layer: int) -> Iterator[Row]:
    """The router, every expert, and the one that all tokens pass."""
    moe = config.layer_moe(layer)
    assert moe is not None
    yield "mlp.router.weight", ("mlp.gate.weight",), same()
    if moe.correction_bias:
        yield "mlp.router.expert_bias", ("mlp.gate.e_score_correction_bias",), same()
    for expert in range(moe.num_experts):
        yield from mlp_rows(config, name=EXPERTS, part=f"mlp.experts.{expert}.")
    if moe.shared_ffn_size:
        yield from mlp_rows(config, name="mlp.shared_experts.", part="mlp.shared_experts.")
    if moe.shared_gate:
        yield "mlp.shared_experts.gate_weight", ("mlp.shared_expert_gate.weight",), same()


def row_axis(kind: str) -> int | None:
    """The axis that ranks share of a layer that adds up their outputs; its bias is added once, by all."""
    return 1 if kind == "weight" else None


def local_name(name: str) -> str:
    """The name in a model whose norms stand by themselves."""
    for fused, alone in FUSED_NORMS.items():
        name = name.replace(fused, alone)
    return name


def to_megatron(table: list[Entry], read: Callable[[str], Tensor]) -> Iterator[tuple[Entry, Tensor]]:
    """Every whole tensor of megatron.core, one at a time; `read` gives canonical tensors by name."""
    for entry in table:
        yield entry, entry.join.join([read(part) for part in entry.parts])
