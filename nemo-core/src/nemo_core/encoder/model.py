"""The encoder in readable torch; parameter names are those of a Hugging Face BERT folder.

B batch, T position, E hidden width, H heads, D head width, V vocabulary, C classes.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..foundation.errors import InputError
from ..model.linear import Linear
from ..model.mlp import gelu_tanh
from .config import EncoderConfig

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": gelu_tanh,
    "relu": F.relu,
    "silu": F.silu,
}


class Embeddings(nn.Module):
    """Tokens, positions and token types, added and normalised. [B, T] -> [B, T, E]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_positions, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.num_token_types, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids_BT: Tensor, types_BT: Tensor) -> Tensor:
        """The sum of the three."""
        places_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
        x_BTE = self.word_embeddings(ids_BT) + self.token_type_embeddings(types_BT) + self.position_embeddings(places_T)
        y_BTE: Tensor = self.dropout(self.LayerNorm(x_BTE))
        return y_BTE


class SelfAttention(nn.Module):
    """Every token looks at every token that is no filling."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.query, self.key, self.value = (Linear(config.hidden_size, config.hidden_size) for _ in range(3))

    def heads(self, x_BTE: Tensor) -> Tensor:
        """[B,T,H*D] -> [B,H,T,D]."""
        x_BTHD: Tensor = x_BTE.unflatten(-1, (self.num_heads, -1))
        return x_BTHD.transpose(1, 2)

    def forward(self, x_BTE: Tensor, seen_B11T: Tensor | None) -> Tensor:
        """[B,T,E] -> [B,T,E]."""
        q_BHTD, k_BHTD, v_BHTD = (self.heads(layer(x_BTE)) for layer in (self.query, self.key, self.value))
        mixed_BHTD = F.scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, attn_mask=seen_B11T)
        return mixed_BHTD.transpose(1, 2).flatten(2)


class Output(nn.Module):
    """A linear layer, added to the block's input and normalised."""

    def __init__(self, config: EncoderConfig, width: int) -> None:
        super().__init__()
        self.dense = Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, residual_BTE: Tensor) -> Tensor:
        """[..., width] and [..., E] -> [..., E]."""
        y_BTE: Tensor = self.LayerNorm(self.dropout(self.dense(x)) + residual_BTE)
        return y_BTE


class EncoderLayer(nn.Module):
    """Attention, then feed-forward, each added to its input and normalised after. [B,T,E] -> [B,T,E]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        attention = {"self": SelfAttention(config), "output": Output(config, config.hidden_size)}
        self.attention = nn.ModuleDict(attention)
        self.intermediate = nn.ModuleDict({"dense": Linear(config.hidden_size, config.ffn_size)})
        self.output = Output(config, config.ffn_size)
        self.activation = FUNCTIONS[config.activation]

    def forward(self, x_BTE: Tensor, seen_B11T: Tensor | None) -> Tensor:
        """One layer."""
        x_BTE = self.attention["output"](self.attention["self"](x_BTE, seen_B11T), x_BTE)
        y_BTE: Tensor = self.output(self.activation(self.intermediate["dense"](x_BTE)), x_BTE)
        return y_BTE


class Stack(nn.Module):
    """The layers; the name prefix ``encoder.`` of a BERT folder."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))


class Encoder(nn.Module):
    """Hidden states of every token, each having seen the whole text."""

    def __init__(self, config: EncoderConfig, *, seed: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Stack(config)
        if seed is not None:
            draw_weights(self, config.initializer_range, seed)

    def forward(self, ids_BT: Tensor, seen_BT: Tensor | None = None, types_BT: Tensor | None = None) -> Tensor:
        """[B, T] -> [B, T, E]; `seen_BT` is false where a row is filled up, `types_BT` tells two texts apart.

        Raises InputError for rows longer than the encoder's positions.
        """
        if ids_BT.shape[1] > self.config.max_positions:
            raise InputError(f"{ids_BT.shape[1]} tokens, but the encoder has {self.config.max_positions} positions")
        types_BT = torch.zeros_like(ids_BT) if types_BT is None else types_BT
        x_BTE: Tensor = self.embeddings(ids_BT, types_BT)
        seen_B11T = None if seen_BT is None else seen_BT.bool()[:, None, None, :]
        for layer in self.encoder.layer:
            x_BTE = layer(x_BTE, seen_B11T)
        return x_BTE


class MaskedHead(nn.Module):
    """Scores over the vocabulary for masked tokens; its output embedding is the encoder's input embedding."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        config = encoder.config
        self.encoder = encoder
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.activation = FUNCTIONS[config.activation]

    def forward(self, ids_BT: Tensor, seen_BT: Tensor | None = None, types_BT: Tensor | None = None) -> Tensor:
        """[B, T] -> [B, T, V]."""
        x_BTE = self.LayerNorm(self.activation(self.dense(self.encoder(ids_BT, seen_BT, types_BT))))
        scores_BTV: Tensor = x_BTE @ self.encoder.embeddings.word_embeddings.weight.T + self.bias
        return scores_BTV


class Classifier(nn.Module):
    """Scores of a text's classes, from its first token."""

    def __init__(self, encoder: Encoder, labels: Sequence[str]) -> None:
        super().__init__()
        self.encoder, self.labels = encoder, tuple(labels)
        self.pooler = Linear(encoder.config.hidden_size, encoder.config.hidden_size)
        self.dropout = nn.Dropout(encoder.config.dropout)
        self.classifier = Linear(encoder.config.hidden_size, len(self.labels))

    def forward(self, ids_BT: Tensor, seen_BT: Tensor | None = None, types_BT: Tensor | None = None) -> Tensor:
        """[B, T] -> [B, C]."""
        first_BE = self.encoder(ids_BT, seen_BT, types_BT)[:, 0]
        scores_BC: Tensor = self.classifier(self.dropout(torch.tanh(self.pooler(first_BE))))
        return scores_BC


@torch.no_grad()
def draw_weights(module: nn.Module, spread: float, seed: int) -> None:
    """Normal matrices, zero biases; norms stay."""
    draw = torch.Generator().manual_seed(seed)
    for name, weight in module.named_parameters():
        if weight.ndim > 1:
            weight.normal_(0.0, spread, generator=draw)
        elif name.endswith("bias"):
            weight.zero_()
