"""Which canonical tensors make up which tensor of megatron.core, for every family.

Names are those of megatron.core's checkpoints, where a norm belongs to the linear layer behind it (as Transformer
Engine fuses them). `local_name` gives the name in a model of the local specification.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from ..config import ModelConfig
from .joins import GateUp, GroupedQkv, Join, Rows, Same

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
    rows = Rows(config.vocab_size, vocabulary)
    table = [Entry("embedding.word_embeddings.weight", ("model.embed_tokens.weight",), rows)]
    for layer in range(config.num_layers):
        table += layer_entries(config, layer)
    table.append(Entry("decoder.final_layernorm.weight", ("model.norm.weight",), Same()))
    if not config.tied_embeddings:
        table.append(Entry("output_layer.weight", ("lm_head.weight",), rows))
    return table


def layer_entries(config: ModelConfig, layer: int) -> Iterator[Entry]:
    """The tensors of one layer."""
    place = f"model.layers.{layer}."
    qkv = GroupedQkv(config.num_heads, config.num_kv_heads, config.head_dim)

    def entry(name: str, join: Join, *parts: str) -> Entry:
        return Entry(name, tuple(place + part for part in parts), join, layer)

    yield entry("self_attention.linear_qkv.layer_norm_weight", Same(), "input_layernorm.weight")
    for kind in ("weight", "bias")[: 1 + config.attention_bias]:
        names = [f"self_attn.{letter}_proj.{kind}" for letter in "qkv"]
        yield entry(f"self_attention.linear_qkv.{kind}", qkv, *names)
        yield entry(f"self_attention.linear_proj.{kind}", Same(row_axis(kind)), f"self_attn.o_proj.{kind}")
    yield entry("mlp.linear_fc1.layer_norm_weight", Same(), "post_attention_layernorm.weight")
    for kind in ("weight", "bias")[: 1 + config.mlp_bias]:
        yield entry(f"mlp.linear_fc1.{kind}", GateUp(), f"mlp.gate_proj.{kind}", f"mlp.up_proj.{kind}")
        yield entry(f"mlp.linear_fc2.{kind}", Same(row_axis(kind)), f"mlp.down_proj.{kind}")


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


def to_canonical(table: list[Entry], read: Callable[[Entry], Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Every canonical tensor, one at a time; `read` gives whole tensors of megatron.core by entry."""
    for entry in table:
        yield from zip(entry.parts, entry.join.split(read(entry)), strict=True)
