"""The decoder: embedding, layers, final norm. Parameter names are those of a Hugging Face Llama folder.

B batch, T position, S key position, E hidden width, V vocabulary, D head width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from ..foundation.errors import InputError
from .attention import Attention, LayerCache
from .mlp import GatedMLP
from .rope import rotation_table


class Layer(nn.Module):
    """Pre-norm attention and feed-forward, each added to its input."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.norm_eps)
        self.mlp = GatedMLP(config)

    def forward(
        self, x_BTE: Tensor, rotation: tuple[Tensor, Tensor], allowed: Tensor | None, cache: LayerCache | None
    ) -> Tensor:
        """[B,T,E] -> [B,T,E]."""
        x_BTE = x_BTE + self.self_attn(self.input_layernorm(x_BTE), rotation, allowed, cache)
        mixed_BTE: Tensor = self.mlp(self.post_attention_layernorm(x_BTE))
        return x_BTE + mixed_BTE


class Trunk(nn.Module):
    """Everything but the output head; the name prefix ``model.`` of a Hugging Face folder."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.norm_eps)


class Decoder(nn.Module):
    """A causal language model. `model(ids)` gives hidden states, `model.logits(hidden)` scores over the vocabulary."""

    cos_PD: Tensor
    sin_PD: Tensor

    def __init__(self, config: ModelConfig, *, seed: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = None if config.tied_embeddings else nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        cos_PD, sin_PD = rotation_table(config.rope, config.head_dim, config.max_positions)
        self.register_buffer("cos_PD", cos_PD, persistent=False)
        self.register_buffer("sin_PD", sin_PD, persistent=False)
        if seed is not None:
            self.initialize(seed)

    @property
    def head_weight(self) -> Tensor:
        """Output embedding, [V, E]; the input embedding where they are tied."""
        weight: Tensor = self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return weight

    @torch.no_grad()
    def initialize(self, seed: int) -> None:
        """Draw every weight: normal, residual outputs scaled by 1/sqrt(2 * layers) (GPT-2); norms one, biases zero."""
        draw = torch.Generator().manual_seed(seed)
        residual = self.config.initializer_range / math.sqrt(2 * self.config.num_layers)
        for name, weight in self.named_parameters():
            if weight.ndim == 1:
                weight.fill_(1.0 if "norm" in name else 0.0)
            else:
                scaled = name.endswith(("o_proj.weight", "down_proj.weight"))
                weight.normal_(0.0, residual if scaled else self.config.initializer_range, generator=draw)

    def forward(
        self,
        ids_BT: Tensor,
        positions_BT: Tensor | None = None,
        segments_BT: Tensor | None = None,
        cache: Sequence[LayerCache] | None = None,
        allowed: Tensor | None = None,
    ) -> Tensor:
        """Hidden states after the final norm, [B, T, E].

        `positions_BT` defaults to 0..T-1. Tokens of different `segments_BT` do not see each other (packed documents).
        `allowed` (bool [B|1, 1, T, S], true where a query may look) replaces the causal mask; a cache needs it.
        Raises InputError where a sequence is longer than the model's positions.
        """
        length = ids_BT.shape[1]
        if positions_BT is None:
            if length > self.config.max_positions:
                raise InputError(
                    f"{length} tokens, but the model has {self.config.max_positions} positions; shorten it"
                )
            rotation = self.cos_PD[:length], self.sin_PD[:length]
        else:
            rotation = self.cos_PD[positions_BT], self.sin_PD[positions_BT]
        if segments_BT is not None:
            allowed = block_causal(segments_BT)
        x_BTE = self.model.embed_tokens(ids_BT)
        rotation = rotation[0].to(x_BTE.dtype), rotation[1].to(x_BTE.dtype)
        for index, layer in enumerate(self.model.layers):
            x_BTE = layer(x_BTE, rotation, allowed, cache[index] if cache is not None else None)
        normed_BTE: Tensor = self.model.norm(x_BTE)
        return normed_BTE

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary, [..., V]."""
        return hidden @ self.head_weight.T


def block_causal(segments_BT: Tensor) -> Tensor:
    """True where a query may look: earlier or same place of the same segment. [B, T] -> [B, 1, T, T]."""
    length = segments_BT.shape[1]
    same_BTS = segments_BT[:, :, None] == segments_BT[:, None, :]
    causal_TS = torch.ones(length, length, dtype=torch.bool, device=segments_BT.device).tril()
    return (same_BTS & causal_TS)[:, None]
