"""Norms that a specification builds where megatron.core's own refuse, and a linear layer with a norm behind it."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocalNorm(nn.Module):
    """RMSNorm or LayerNorm, plain or zero-centred (the scale is weight + 1); takes the arguments a spec passes."""

    has_bias = True

    def __init__(self, config: Any, hidden_size: int, eps: float = 1e-5, **_: Any) -> None:
        super().__init__()
        self.normalized_shape, self.eps = (hidden_size,), eps
        self.is_rms = config.normalization == "RMSNorm"
        self.zero_centered = config.layernorm_zero_centered_gamma
        start = torch.zeros if self.zero_centered else torch.ones
        self.weight = nn.Parameter(start(hidden_size, dtype=config.params_dtype))
        biased = self.has_bias and not self.is_rms
        self.bias = nn.Parameter(torch.zeros(hidden_size, dtype=config.params_dtype)) if biased else None

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] -> [..., E]."""
        weight_E = self.weight + 1 if self.zero_centered else self.weight
        if self.is_rms and self.zero_centered:  # Gemma normalises in float32, whatever the weights are
            return F.rms_norm(x.float(), self.normalized_shape, weight_E.float(), self.eps).type_as(x)
        if self.is_rms:
            return F.rms_norm(x, self.normalized_shape, weight_E, self.eps)
        return F.layer_norm(x, self.normalized_shape, weight_E, self.bias, self.eps)


class UnbiasedLocalNorm(LocalNorm):
    """The same, where a LayerNorm has no bias."""

    has_bias = False


def normed(linear: Any, norm: Any) -> Any:
    """The row-parallel linear class with a norm of its output, before that is added to the residual (Gemma 2)."""

    class NormedLinear(linear):  # type: ignore[misc]
        """A linear layer, its bias added, then a norm."""

        def __init__(self, input_size: int, output_size: int, *, config: Any, **rest: Any) -> None:
            super().__init__(input_size, output_size, config=config, **rest)
            self.post_layernorm = norm(config, output_size, config.layernorm_epsilon)

        def forward(self, x: Tensor) -> tuple[Tensor, None]:
            """The normed output; its bias is in it already."""
            output, bias = super().forward(x)
            return self.post_layernorm(output if bias is None else output + bias), None

    return NormedLinear
