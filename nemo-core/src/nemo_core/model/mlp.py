"""Feed-forward layers: gated (Shazeer 2020) and plain.

... any leading dimensions, N rows, E hidden width, F feed-forward width.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..config import Activation, ModelConfig
from ..native import training
from ..native.library import GATES
from .linear import Linear, is_plain, product


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
        self.activation, self.kind = ACTIVATIONS[config.activation], GATES[config.activation]
        self.gate_proj = Linear(hidden, wide, bias=bias)
        self.up_proj = Linear(hidden, wide, bias=bias)
        self.down_proj = Linear(wide, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Widen twice, gate, narrow."""
        gate, up = self.gate_proj(x), self.up_proj(x)
        down = self.down_proj
        if type(down) is not Linear or not is_plain(gate, up, down.weight):
            narrowed: Tensor = down(self.activation(gate) * up)
        else:
            narrowed = GatedProduct.apply(gate, up, down.weight, down.bias, self.kind)  # type: ignore[no-untyped-call]
        return narrowed


class GatedProduct(torch.autograd.Function):
    """act(gate) * up @ weight.T + bias. What lies between is made anew on the way back; only gate and up are kept."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, weight_EF: Tensor, bias_E: Tensor | None, kind: int) -> Tensor:
        """[..., F] -> [..., E]."""
        gate, up = gate.contiguous(), up.contiguous()
        ctx.save_for_backward(gate, up, weight_EF)
        ctx.kind = kind
        wide_NF = training.gate(gate, up, kind).flatten(0, -2)
        y: Tensor = product(wide_NF, weight_EF, bias_E).unflatten(0, gate.shape[:-1])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of gate, up, weight and bias."""
        gate, up, weight_EF = ctx.saved_tensors
        _, _, needs_weight, needs_bias, _ = ctx.needs_input_grad
        grad_NE = grad.flatten(0, -2)
        pull = product(grad_NE, weight_EF.T).view_as(gate)
        grad_gate, grad_up, wide = training.gate_back_(gate, up, pull, ctx.kind)
        return (
            grad_gate,
            grad_up,
            product(grad_NE.T, wide.flatten(0, -2).T) if needs_weight else None,
            grad_NE.sum(0) if needs_bias else None,
            None,
        )


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
