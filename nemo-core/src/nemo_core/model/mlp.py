"""Feed-forward layers: gated (Shazeer 2020) and plain."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Activation, ModelConfig
from .linear import Linear


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by its tanh approximation (Hendrycks and Gimpel 2016)."""
    return F.gelu(x, approximate="tanh")


def relu_squared(x: Tensor) -> Tensor:
    """max(x, 0)**2 (So et al. 2021)."""
    return F.relu(x).square()


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "relu2": relu_squared,
}


class GatedMLP(nn.Module):
    """down(act(gate(x)) * up(x)). [..., E] -> [..., E]."""

    def __init__(self, config: ModelConfig, width: int | None = None) -> None:
        super().__init__()
        hidden, wide, bias = config.hidden_size, width or config.ffn_size, config.mlp_bias
        self.activation = ACTIVATIONS[config.activation]
        self.gate_proj = Linear(hidden, wide, bias=bias)
        self.up_proj = Linear(hidden, wide, bias=bias)
        self.down_proj = Linear(wide, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Widen twice, gate, narrow."""
        narrowed: Tensor = self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))
        return narrowed


class PlainMLP(nn.Module):
    """down(act(up(x))). [..., E] -> [..., E]."""

    def __init__(self, config: ModelConfig, width: int | None = None) -> None:
        super().__init__()
        hidden, wide, bias = config.hidden_size, width or config.ffn_size, config.mlp_bias
        self.activation = ACTIVATIONS[config.activation]
        self.up_proj = Linear(hidden, wide, bias=bias)
        self.down_proj = Linear(wide, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Widen, activate, narrow."""
        narrowed: Tensor = self.down_proj(self.activation(self.up_proj(x)))
        return narrowed


def make_mlp(config: ModelConfig, width: int | None = None) -> nn.Module:
    """The feed-forward that `config` asks for, `width` wide (default: the config's)."""
    return GatedMLP(config, width) if config.gated_mlp else PlainMLP(config, width)
