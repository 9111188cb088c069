"""Norms that a specification builds where megatron.core's own refuse, and a linear layer with a norm behind it."""

from typing import Any

import torch
import torch.nn.functional as F
from megatron.core import parallel_state
from megatron.core.transformer.utils import make_sharded_tensors_for_checkpoint
from torch import Tensor, nn

from .collectives import sum_of_ranks


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


class ProjectionNorm(nn.Module):
    """RMSNorm over all heads of queries or of keys together (OLMo 2), which tensor-parallel ranks share out."""

    heads = 0

    def __init__(self, config: Any, hidden_size: int, eps: float, **_: Any) -> None:
        super().__init__()
        self.ranks, self.eps = parallel_state.get_tensor_model_parallel_world_size(), eps
        self.weight = nn.Parameter(torch.ones(self.heads * hidden_size // self.ranks, dtype=config.params_dtype))

    def forward(self, x_TBHD: Tensor) -> Tensor:
        """[T,B,H,D] -> [T,B,H,D], H this rank's heads."""
        flat = x_TBHD.flatten(-2)
        if self.ranks == 1:
            return F.rms_norm(flat, flat.shape[-1:], self.weight, self.eps).view_as(x_TBHD)
        whole = flat.float()
        mean = sum_of_ranks(whole.square().sum(-1, keepdim=True)) / (flat.shape[-1] * self.ranks)
        normed: Tensor = whole * (mean + self.eps).rsqrt() * self.weight.float()
        return normed.type_as(x_TBHD).view_as(x_TBHD)

    def sharded_state_dict(self, prefix: str = "", sharded_offsets: Any = (), metadata: Any = None) -> Any:
        """The weight as a part of that of all ranks."""
        groups = {"dp_cp_group": (metadata or {}).get("dp_cp_group")}
        state = self.state_dict(prefix="", keep_vars=True)
        return make_sharded_tensors_for_checkpoint(
            state,
            prefix,
            {"weight": 0},
            sharded_offsets,
            tp_group=parallel_state.get_tensor_model_parallel_group(),
            **groups,
        )


def projection_norm(heads: int) -> type[ProjectionNorm]:
    """The norm over so many heads; a spec passes classes, so the number is a class attribute."""
    return type("ProjectionNorm", (ProjectionNorm,), {"heads": heads})


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
