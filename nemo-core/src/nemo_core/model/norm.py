"""Normalisation of hidden states: RMS norm (Zhang and Sennrich 2019) and layer norm (Ba et al. 2016).

E normalised width.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ModelConfig


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
    return (ZeroCenteredRMSNorm if config.norm.zero_centered else nn.RMSNorm)(width, eps=config.norm_eps)
