"""Layers whose attention and feed-forward both start from the layer's input (Wang and Komatsuzaki 2021). T, B, E."""

from typing import Any

from megatron.core.transformer.transformer_layer import TransformerLayer
from torch import Tensor


def added(output: tuple[Tensor, Tensor | None]) -> Tensor:
    """A block's output with its bias."""
    hidden, bias = output
    return hidden if bias is None else hidden + bias


class ParallelLayer(TransformerLayer):  # type: ignore[misc]
    """x + attention(norm(x)) + mlp(other_norm(x))."""

    def forward(self, hidden_states: Tensor, *, attention_mask: Tensor | None = None, **rest: Any) -> Any:
        """[T,B,E] -> [T,B,E], and no context."""
        passed = {name: rest.get(name) for name in ("rotary_pos_emb", "packed_seq_params")}
        normed_TBE = self.input_layernorm(hidden_states)
        attended_TBE = added(self.self_attention(normed_TBE, attention_mask=attention_mask, **passed))
        mixed_TBE = added(self.mlp(self.mlp_input(hidden_states, normed_TBE)))
        return hidden_states + attended_TBE + mixed_TBE, None

    def mlp_input(self, hidden_TBE: Tensor, normed_TBE: Tensor) -> Tensor:
        """What the feed-forward starts from."""
        normed: Tensor = self.pre_mlp_layernorm(hidden_TBE)
        return normed


class SharedNormParallelLayer(ParallelLayer):
    """x + attention(norm(x)) + mlp(norm(x))."""

    def mlp_input(self, hidden_TBE: Tensor, normed_TBE: Tensor) -> Tensor:
        """The same normed input."""
        return normed_TBE
