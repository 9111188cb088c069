"""Which experts a token passes, by the rules of the native implementation.

megatron.core's own knows some of them, and has fused kernels for those on a GPU; on a CPU it would also move its
weights to a GPU. T places, B rows, N tokens, X experts, C chosen experts, E hidden width.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region
from megatron.core.transformer.moe.router import TopKRouter
from torch import Tensor

from ..config import MoEConfig
from ..model.moe import Routing, Telling, choose


def own_routing(moe: MoEConfig) -> dict[str, Any] | None:
    """megatron.core's settings under which its own router chooses and weighs as these rules say; None without any.

    It normalises sigmoid scores wherever more than one expert is chosen, takes the softmax of chosen logits (which is
    that of all, normalised) or of all, knows a bias beside sigmoid scores only, and judges a group by as many experts
    as a token chooses in one.
    """
    is_softmax, is_grouped = moe.score == "softmax", moe.groups > 1
    if is_softmax and (moe.correction_bias or (moe.normalize and (is_grouped or moe.top_k == 1))):
        return None
    if not is_softmax and moe.normalize != (moe.top_k > 1):
        return None
    if is_grouped and moe.group_best != moe.top_k // moe.top_groups:
        return None
    return {
        "moe_router_score_function": moe.score,
        "moe_router_pre_softmax": is_softmax and not moe.normalize,
        "moe_router_num_groups": moe.groups if is_grouped else None,
        "moe_router_group_topk": moe.top_groups if is_grouped else None,
        "moe_router_topk_scaling_factor": moe.scale if moe.scale != 1.0 else None,
    }


class RuledRouter(TopKRouter, Telling):  # type: ignore[misc]
    """megatron.core's router that chooses as `rules` say, and tells whoever listens.

    Where nobody does, megatron.core's own decides if it `decides_alike`.
    """

    rules: MoEConfig
    expert_bias: Tensor
    decides_alike = False

    @property
    def steering_bias(self) -> Tensor:
        """The expert bias, [X]."""
        return self.expert_bias

    def routing(self, logits: Tensor, padding_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The weight of each expert for each token, zero where it is not chosen, and which are: [T,B,X] -> [N,X] each.

        Filling has no mask here: it passes experts like any token, and nothing is learnt from it.
        """
        if self.decides_alike and self.told is None:
            decided: tuple[Tensor, Tensor] = super().routing(logits)
            return decided
        logit_NX = logits.flatten(0, -2)
        bias_X = self.expert_bias if self.rules.correction_bias else None
        score_NX, chosen_NC, weight_NC = choose(logit_NX, self.rules, bias_X)
        self.tell(score_NX, chosen_NC, logits.shape[:-1])
        zero_NX = torch.zeros_like(score_NX)
        return zero_NX.scatter(1, chosen_NC, weight_NC), zero_NX.bool().scatter(1, chosen_NC, True)

    def tell(self, score_NX: Tensor, chosen_NC: Tensor, places: torch.Size) -> None:
        """Say what was decided of all places, row after row as in the batch."""
        if self.told is None:
            return
        score, chosen = (one.view(*places, -1) for one in (score_NX, chosen_NC))
        if self.config.sequence_parallel:
            score, chosen = (
                gather_from_sequence_parallel_region(one, tensor_parallel_output_grad=False) for one in (score, chosen)
            )
        self.told.append(Routing(self, *(one.transpose(0, 1).flatten(0, 1) for one in (score, chosen))))


class CpuRouter(RuledRouter):
    """The same with its bias and its scores made where the weights are."""

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


def router_by(rules: MoEConfig, *, on_gpu: bool) -> type[RuledRouter]:
    """The router of these rules; a spec passes classes, so they are a class attribute."""
    base, decides_alike = (RuledRouter if on_gpu else CpuRouter), on_gpu and own_routing(rules) is not None
    return type("Router", (base,), {"rules": rules, "decides_alike": decides_alike})
