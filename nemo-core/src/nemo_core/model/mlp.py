"""Feed-forward layers: gated (Shazeer 2020) and plain.

... any leading dimensions, N rows, E hidden width, F feed-forward width.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..config import Activation, ModelConfig
from .linear import Linear, is_plain, product


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by its tanh approximation (Hendrycks and Gimpel 2016)."""
    return F.gelu(x, approximate="tanh")


def relu_squared(x: Tensor) -> Tensor:
    """max(x, 0)**2 (So et al. 2021)."""
    return F.relu(x).square()


Map = Callable[[Tensor], Tensor]
Slope = Callable[[Tensor, Tensor], Tensor]  # of the gradient after the activation and the input before it

ACTIVATIONS: dict[Activation, Map] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "relu2": relu_squared,
}
SLOPES: dict[Map, Slope] = {
    F.silu: torch.ops.aten.silu_backward,
    F.gelu: torch.ops.aten.gelu_backward,
    gelu_tanh: partial(torch.ops.aten.gelu_backward, approximate="tanh"),
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
        gate, up = self.gate_proj(x), self.up_proj(x)
        down, slope = self.down_proj, SLOPES.get(self.activation)
        if slope is None or type(down) is not Linear or not is_plain(gate, up, down.weight):
            narrowed: Tensor = down(self.activation(gate) * up)
        else:
            narrowed = GatedProduct.apply(  # type: ignore[no-untyped-call]
                gate, up, down.weight, down.bias, self.activation, slope
            )
        return narrowed


class GatedProduct(torch.autograd.Function):
    """act(gate) * up @ weight.T + bias. What lies between is made anew on the way back; only gate and up are kept."""

    @staticmethod
    def forward(
        ctx: Any, gate: Tensor, up: Tensor, weight_EF: Tensor, bias_E: Tensor | None, activation: Map, slope: Slope
    ) -> Tensor:
        """[..., F] -> [..., E]."""
        ctx.save_for_backward(gate, up, weight_EF)
        ctx.activation, ctx.slope = activation, slope
        wide_NF = activation(gate).mul_(up).flatten(0, -2)
        y: Tensor = product(wide_NF, weight_EF, bias_E).unflatten(0, gate.shape[:-1])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of gate, up, weight and bias."""
        gate, up, weight_EF = ctx.saved_tensors
        _, _, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        grad_NE = grad.flatten(0, -2)
        pull = product(grad_NE, weight_EF.T).view_as(gate)
        active = ctx.activation(gate)
        grad_up = active * pull
        wide_NF = active.mul_(up).flatten(0, -2)
        return (
            ctx.slope(pull.mul_(up), gate),
            grad_up,
            product(grad_NE.T, wide_NF.T) if needs_weight else None,
            grad_NE.sum(0) if needs_bias else None,
            None,
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
