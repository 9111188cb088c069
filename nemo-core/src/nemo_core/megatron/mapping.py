"""Which canonical tensors make up which tensor of megatron.core, for every family.

Names are those of megatron.core's checkpoints, where a norm belongs to the linear layer behind it (as Transformer
Engine fuses them). `local_name` gives the name in a model of the local specification.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from ..config import ModelConfig
from .joins import Join, PaddedRows, gate_up, grouped_qkv, same

LAYER = "decoder.layers."
FUSED_NORMS = {
    "self_attention.linear_qkv.layer_norm_": "input_layernorm.",
    "mlp.linear_fc1.layer_norm_": "pre_mlp_layernorm.",
}


@dataclass(frozen=True)
class Entry:
    """A tensor of megatron.core and the canonical tensors in it; `layer` is None outside the layers."""

    name: str
    parts: tuple[str, ...]
    join: Join
    layer: int | None = None

    @property
    def full_name(self) -> str:
        """The name with the number of its layer."""
        return self.name if self.layer is None else f"{LAYER}{self.layer}.{self.name}"


def entries(config: ModelConfig, *, vocabulary: int) -> list[Entry]:
    """Every tensor of a model whose embedding has `vocabulary` rows (padding included), in order."""
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
    return table


def kinds(has_bias: bool) -> tuple[str, ...]:
    """The tensors of a layer with or without bias."""
    return ("weight", "bias") if has_bias else ("weight",)


def layer_entries(config: ModelConfig, layer: int) -> Iterator[Entry]:
    """The tensors of one layer, with the names of its place in the model."""
    place = f"model.layers.{layer}."
    for name, parts, join in [*norm_rows(config), *attention_rows(config), *mlp_rows(config)]:
        yield Entry(name, tuple(place + part for part in parts), join, layer)


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
    for letter in "qk" if config.qk_norm == "head" else "":
        yield f"self_attention.{letter}_layernorm.weight", (f"self_attn.{letter}_norm.weight",), same()


def mlp_rows(config: ModelConfig) -> Iterator[Row]:
    """Gate and up projection as one, or the up projection alone; the down projection."""
    for kind in kinds(config.mlp_bias):
        up = f"mlp.up_proj.{kind}"
        if config.gated_mlp:
            yield f"mlp.linear_fc1.{kind}", (f"mlp.gate_proj.{kind}", up), gate_up()
        else:
            yield f"mlp.linear_fc1.{kind}", (up,), same(0)
        yield f"mlp.linear_fc2.{kind}", (f"mlp.down_proj.{kind}",), same(row_axis(kind))


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
