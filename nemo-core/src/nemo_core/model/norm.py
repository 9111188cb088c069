"""Normalisation of hidden states: RMS norm (Zhang and Sennrich 2019) and layer norm (Ba et al. 2016).

E normalised width, N rows.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..config import ModelConfig
from ..native import training
from .linear import is_plain


class RMSNorm(nn.RMSNorm):
    """RMS norm in one pass each way while training in fp32 on a CPU. [..., E] -> [..., E]."""

    def forward(self, x: Tensor) -> Tensor:
        """Divide by sqrt(mean(x**2) + eps), times the weight."""
        if not is_plain(x, self.weight):
            return super().forward(x)
        eps = torch.finfo(x.dtype).eps if self.eps is None else self.eps
        y: Tensor = ScaledByRMS.apply(x, self.weight, eps)  # type: ignore[no-untyped-call]
        return y


class ScaledByRMS(torch.autograd.Function):
    """RMS norm as loops in C; torch's own is on CPUs a row of operations, each with its own gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_E: Tensor, eps: float) -> Tensor:
        """[..., E] -> [..., E]."""
        x, weight_E = x.contiguous(), weight_E.contiguous()
        y, inverse_N = training.norm(x, weight_E, eps)
        ctx.save_for_backward(x, weight_E, inverse_N)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of input and weight."""
        x, weight_E, inverse_N = ctx.saved_tensors
        return *training.norm_back(x, weight_E, inverse_N, grad.contiguous()), None


class ZeroCenteredRMSNorm(nn.RMSNorm):
    """RMS norm whose stored weight is the scale minus one, as Gemma keeps it. [..., E] -> [..., E]."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise in fp32, scale by one plus the weight."""
        scale_E = 1.0 + self.weight.float()
        return F.rms_norm(x.float(), self.normalized_shape, scale_E, self.eps).type_as(x)


class ZeroCenteredLayerNorm(nn.LayerNorm):
    """Layer norm whose stored weight is the scale minus one, as Nemotron keeps it. [..., E] -> [..., E]."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, scale by one plus the weight, add the bias."""
        return F.layer_norm(x, self.normalized_shape, self.weight + 1.0, self.bias, self.eps)


def make_norm(config: ModelConfig, width: int, *, bias: bool | None = None) -> nn.Module:
    """The norm that `config` asks for, over `width` features; `bias` overrides whether it has one."""
    bias = config.norm.bias if bias is None else bias
    if config.norm.kind == "layer":
        layer = ZeroCenteredLayerNorm if config.norm.zero_centered else nn.LayerNorm
        return layer(width, eps=config.norm_eps, bias=bias)
    return (ZeroCenteredRMSNorm if config.norm.zero_centered else RMSNorm)(width, eps=config.norm_eps)
