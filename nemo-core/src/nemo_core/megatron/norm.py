"""Norms that every megatron.core backend builds alike, for what its own torch norms refuse. E width."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocalNorm(nn.Module):
    """RMSNorm or LayerNorm, plain or zero-centred (the scale is weight + 1); takes the arguments a spec passes."""

    def __init__(self, config: Any, hidden_size: int, eps: float = 1e-5, **_: Any) -> None:
        super().__init__()
        self.normalized_shape, self.eps = (hidden_size,), eps
        self.is_rms = config.normalization == "RMSNorm"
        self.zero_centered = config.layernorm_zero_centered_gamma
        start = torch.zeros if self.zero_centered else torch.ones
        self.weight = nn.Parameter(start(hidden_size, dtype=config.params_dtype))
        self.bias = None if self.is_rms else nn.Parameter(torch.zeros(hidden_size, dtype=config.params_dtype))

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] -> [..., E]."""
        weight_E = self.weight + 1 if self.zero_centered else self.weight
        if self.is_rms:
            return F.rms_norm(x, self.normalized_shape, weight_E, self.eps)
        return F.layer_norm(x, self.normalized_shape, weight_E, self.bias, self.eps)
