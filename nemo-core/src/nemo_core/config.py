"""The canonical description of a decoder: every implementation, family mapping and checkpoint agrees on it."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from .foundation.errors import ConfigError

Positive = Annotated[int, Meta(ge=1)]
RopeKind = Literal["default", "linear", "llama3"]


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary position embedding (Su et al. 2021) and how its frequencies are stretched for longer contexts."""

    theta: Annotated[float, Meta(gt=0, description="base of the geometric series of frequencies")] = 10_000.0
    kind: Annotated[RopeKind, Meta(description="how frequencies are scaled")] = "default"
    factor: Annotated[float, Meta(ge=1, description="context stretch (linear, llama3)")] = 1.0
    low_frequency_factor: Annotated[float, Meta(gt=0, description="llama3: where full scaling begins")] = 1.0
    high_frequency_factor: Annotated[float, Meta(gt=0, description="llama3: where scaling ends")] = 4.0
    original_positions: Annotated[int, Meta(ge=1, description="llama3: positions before stretching")] = 8192

    def __post_init__(self) -> None:
        if self.kind == "llama3" and self.low_frequency_factor >= self.high_frequency_factor:
            raise ConfigError(
                f"rope.low_frequency_factor={self.low_frequency_factor} must be below "
                f"rope.high_frequency_factor={self.high_frequency_factor}"
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape and options of a decoder. Widths are in features, `max_positions` in tokens.

    Raises ConfigError where the numbers contradict each other.
    """

    family: str = "llama"
    vocab_size: Positive
    hidden_size: Positive
    num_layers: Positive
    num_heads: Positive
    num_kv_heads: Positive
    head_dim: Positive
    ffn_size: Positive
    max_positions: Positive = 2048
    norm_eps: Annotated[float, Meta(gt=0)] = 1e-5
    rope: RopeConfig = field(default_factory=RopeConfig)
    attention_bias: bool = False
    mlp_bias: bool = False
    tied_embeddings: bool = False
    initializer_range: Annotated[float, Meta(gt=0)] = 0.02
    bos_id: int | None = None
    eos_id: int | None = None
    pad_id: int | None = None

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"num_kv_heads={self.num_kv_heads} does not divide num_heads={self.num_heads}; "
                f"use one of {divisors(self.num_heads)}"
            )
        if self.head_dim % 2:
            raise ConfigError(f"head_dim={self.head_dim} is odd; rotary embedding turns pairs of features")
        for name in ("bos_id", "eos_id", "pad_id"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < self.vocab_size:
                raise ConfigError(f"{name}={value} is outside the vocabulary of {self.vocab_size} tokens")

    @property
    def num_parameters(self) -> int:
        """Number of trained weights; tied embeddings count once."""
        attention = self.hidden_size * self.head_dim * (2 * self.num_heads + 2 * self.num_kv_heads)
        mlp = 3 * self.hidden_size * self.ffn_size
        biases = self.attention_bias * (self.head_dim * (self.num_heads + 2 * self.num_kv_heads) + self.hidden_size)
        biases += self.mlp_bias * (2 * self.ffn_size + self.hidden_size)
        layer = attention + mlp + biases + 2 * self.hidden_size
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tied_embeddings else 2)
        return self.num_layers * layer + embeddings + self.hidden_size

    def flops_per_token(self, sequence_length: int) -> float:
        """Forward and backward floating-point operations per token, causal attention counted at half."""
        dense = self.num_parameters - (0 if self.tied_embeddings else self.vocab_size * self.hidden_size)
        attention = self.num_layers * self.num_heads * self.head_dim * sequence_length
        return 6.0 * (dense + attention)


def divisors(number: int) -> list[int]:
    """Every divisor of `number`, rising."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})
