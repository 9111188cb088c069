"""Norms made ready for inference: the same numbers in fewer calls.

E normalised width.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ..model.norm import ZeroCenteredLayerNorm, ZeroCenteredRMSNorm
from . import kernels


class RowNorm(nn.Module):
    """RMS norm in one call on a CPU in fp32; torch's own is made of ten. [..., E] -> [..., E]."""

    def __init__(self, scale_E: Tensor, eps: float) -> None:
        super().__init__()
        self.scale_E, self.eps = scale_E.contiguous(), eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and scale."""
        return kernels.rms_norm(x, self.scale_E, self.eps)


class RowLayerNorm(nn.Module):
    """Layer norm on a CPU in fp32. [..., E] -> [..., E]."""

    def __init__(self, scale_E: Tensor, bias_E: Tensor | None, eps: float) -> None:
        super().__init__()
        self.scale_E, self.eps = scale_E.contiguous(), eps
        self.bias_E = None if bias_E is None else bias_E.contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, scale, add the bias."""
        return kernels.layer_norm(x, self.scale_E, self.bias_E, self.eps)


class ScaledLayerNorm(nn.Module):
    """Layer norm whose scale is ready. [..., E] -> [..., E]."""

    def __init__(self, norm: ZeroCenteredLayerNorm) -> None:
        super().__init__()
        self.shape, self.eps, self.bias_E = norm.normalized_shape, norm.eps, norm.bias
        self.scale_E = norm.weight.detach() + 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, scale, add the bias."""
        return F.layer_norm(x, self.shape, self.scale_E, self.bias_E, self.eps)


def inference_norm(norm: nn.Module) -> nn.Module:
    """What computes the same as `norm` as it is now, in fewer calls where there is such a thing."""
    if not isinstance(norm, nn.RMSNorm | nn.LayerNorm) or norm.weight is None or norm.eps is None:
        return norm
    weight_E = norm.weight.detach()
    is_ours = kernels.take(weight_E)
    if isinstance(norm, nn.LayerNorm):
        is_centered = isinstance(norm, ZeroCenteredLayerNorm)
        if is_ours:
            bias_E = None if norm.bias is None else norm.bias.detach()
            return RowLayerNorm(1.0 + weight_E if is_centered else weight_E, bias_E, norm.eps)
        return ScaledLayerNorm(norm) if isinstance(norm, ZeroCenteredLayerNorm) else norm
    if not is_ours:
        return norm
    return RowNorm(1.0 + weight_E if isinstance(norm, ZeroCenteredRMSNorm) else weight_E, norm.eps)
