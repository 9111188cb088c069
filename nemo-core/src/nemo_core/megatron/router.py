"""Which experts a token passes, on a CPU: megatron.core's own router moves its weights to a GPU.

N tokens, X experts, E hidden width.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.transformer.moe.router import TopKRouter
from torch import Tensor


class CpuRouter(TopKRouter):  # type: ignore[misc]
    """megatron.core's router with its bias and its scores made where the weights are."""

    expert_bias: Tensor

    def __init__(self, config: Any, pg_collection: Any = None) -> None:
        unbiased = copy.copy(config)
        unbiased.moe_router_enable_expert_bias = False
        super().__init__(config=unbiased, pg_collection=pg_collection)
        self.config, self.enable_expert_bias = config, config.moe_router_enable_expert_bias
        if self.enable_expert_bias:
            del self.expert_bias, self.local_tokens_per_expert
            self.register_buffer("expert_bias", torch.zeros(config.num_moe_experts))
            self.register_buffer("local_tokens_per_expert", torch.zeros(config.num_moe_experts), persistent=False)

    def gating(self, input: Tensor) -> Tensor:
        """Scores of every expert in float32, [..., E] -> [..., X]."""
        return F.linear(input.float(), self.weight.float())
