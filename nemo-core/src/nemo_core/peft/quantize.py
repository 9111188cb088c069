"""Frozen weights in four bits (QLoRA, Dettmers et al. 2023), where bitsandbytes is installed.

I input width, O output width.
"""

from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..foundation.backend import Backend, load_backend

BACKENDS = {"nf4": Backend(module="nemo_core.peft.bitsandbytes", extra="qlora")}


class Packing(Protocol):
    """How numbers are packed: `unpack(*pack(weight))` is the weight, rounded."""

    def pack(self, weight_OI: Tensor) -> tuple[Tensor, Any]:
        """Packed numbers, and what else unpacking needs."""

    def unpack(self, packed: Tensor, state: Any) -> Tensor:
        """The numbers, [O, I]."""


class QuantizedLinear(nn.Module):
    """A frozen linear layer that keeps its weight packed and unpacks it for each product. [..., I] -> [..., O]."""

    def __init__(self, layer: nn.Linear, packing: Packing) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.unpack = packing.unpack  # not the module itself, which a copied model could not copy
        self.packed, self.state = packing.pack(layer.weight.detach())
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone(), requires_grad=False)

    @property
    def weight(self) -> Tensor:
        """The rounded weight, [O, I]."""
        return self.unpack(self.packed, self.state)

    def forward(self, x: Tensor) -> Tensor:
        """X @ weight.T + bias."""
        y: Tensor = UnpackedProduct.apply(x, self)  # type: ignore[no-untyped-call]
        return y if self.bias is None else y + self.bias


class UnpackedProduct(torch.autograd.Function):
    """x @ weight.T whose weight is unpacked again for the gradient, so that nothing of its size is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: QuantizedLinear) -> Tensor:
        """[..., I] -> [..., O]."""
        ctx.layer = layer
        return F.linear(x, layer.weight.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Gradient of the input."""
        (grad,) = gradients
        return grad @ ctx.layer.weight.to(grad.dtype), None


def quantized(layer: nn.Module) -> nn.Module:
    """The layer with its weight in NormalFloat4; MissingBackend names the extra where bitsandbytes is absent."""
    if isinstance(layer, QuantizedLinear):
        return layer
    packing = cast(Packing, load_backend("quantization", "nf4", BACKENDS, package="nemo-core"))
    return QuantizedLinear(cast(nn.Linear, layer), packing)
