"""Mixture of experts (Shazeer et al. 2017), with DeepSeek's groups, shared expert and correction bias.

N tokens, X experts, C chosen experts per token, G groups, E hidden width.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ModelConfig, MoEConfig
from .linear import Linear
from .mlp import make_mlp


@dataclass(frozen=True)
class Routing:
    """What a router made of its tokens: every expert's score, [N, X], the chosen experts, [N, C], and the scores before
    they were normalised, [N, X].
    """

    router: "Telling"
    score_NX: Tensor
    chosen_NC: Tensor
    logit_NX: Tensor


class Telling(ABC):
    """A router of any implementation that tells what it decides, in the order of its tokens in the batch."""

    told: list[Routing] | None = None

    @property
    @abstractmethod
    def steering_bias(self) -> Tensor:
        """The bias that steers which experts are chosen, [X]."""


class Router(nn.Module, Telling):
    """Scores every expert for every token and picks the best."""

    e_score_correction_bias: Tensor

    def __init__(self, hidden_size: int, config: MoEConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(config.num_experts, hidden_size))
        if config.correction_bias:
            self.register_buffer("e_score_correction_bias", torch.zeros(config.num_experts))

    @property
    def steering_bias(self) -> Tensor:
        """The correction bias, [X]."""
        return self.e_score_correction_bias

    def forward(self, x_NE: Tensor) -> tuple[Tensor, Tensor]:
        """Chosen experts and their weights, [N, C] each; scores are computed in fp32."""
        bias_X = self.e_score_correction_bias if self.config.correction_bias else None
        logit_NX = self.logits(x_NE)
        score_NX, chosen_NC, weight_NC = choose(logit_NX, self.config, bias_X)
        if self.told is not None:
            self.told.append(Routing(self, score_NX, chosen_NC, logit_NX))
        return chosen_NC, weight_NC

    def logits(self, x_NE: Tensor) -> Tensor:
        """Scores of all experts before they are normalised, [N, X]."""
        return F.linear(x_NE.float(), self.weight.float())


def choose(logit_NX: Tensor, config: MoEConfig, bias_X: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Every expert's score, [N, X], the chosen experts and their weights, [N, C]; a bias steers only the choice."""
    score_NX = logit_NX.softmax(-1) if config.score == "softmax" else logit_NX.sigmoid()
    choice_NX = score_NX if bias_X is None else score_NX + bias_X
    chosen_NC = within_best_groups(choice_NX, config).topk(config.top_k, -1).indices
    weight_NC = score_NX.gather(1, chosen_NC)
    if config.normalize:
        weight_NC = weight_NC / (weight_NC.sum(-1, keepdim=True) + 1e-20)
    return score_NX, chosen_NC, weight_NC * config.scale


def within_best_groups(choice_NX: Tensor, config: MoEConfig) -> Tensor:
    """The scores, -inf outside the groups that a token may choose from."""
    if config.groups == 1:
        return choice_NX
    grouped_NGX = choice_NX.unflatten(-1, (config.groups, -1))
    group_NG = grouped_NGX.topk(config.group_best, -1).values.sum(-1)
    best = group_NG.topk(config.top_groups, -1).indices
    open_NG = torch.zeros_like(group_NG, dtype=torch.bool).scatter(1, best, True)
    masked_NX: Tensor = grouped_NGX.masked_fill(~open_NG[..., None], -torch.inf).flatten(-2)
    return masked_NX


class MoE(nn.Module):
    """Each token passes its chosen experts, added up by weight, and the shared one. [..., E] -> [..., E]."""

    def __init__(self, config: ModelConfig, moe: MoEConfig) -> None:
        super().__init__()
        self.gate = Router(config.hidden_size, moe)
        self.experts = nn.ModuleList(make_mlp(config, moe.ffn_size) for _ in range(moe.num_experts))
        self.shared_experts = make_mlp(config, moe.shared_ffn_size) if moe.shared_ffn_size else None
        self.shared_expert_gate = Linear(config.hidden_size, 1, bias=False) if moe.shared_gate else None

    def forward(self, x: Tensor) -> Tensor:
        """Send tokens to their experts, and to the shared one."""
        x_NE = x.flatten(0, -2)
        chosen_NC, weight_NC = self.gate(x_NE)
        mixed_NE = self.mix(x_NE, chosen_NC, weight_NC)
        if self.shared_experts is not None:
            shared_NE = self.shared_experts(x_NE)
            if self.shared_expert_gate is not None:
                shared_NE = shared_NE * self.shared_expert_gate(x_NE).sigmoid()
            mixed_NE = mixed_NE + shared_NE
        return mixed_NE.view_as(x)

    def mix(self, x_NE: Tensor, chosen_NC: Tensor, weight_NC: Tensor) -> Tensor:
        """What the chosen experts make of their tokens, added up by weight, [N, E]."""
        mixed_NE = torch.zeros_like(x_NE)
        for number, expert in enumerate(self.experts):
            token, place = torch.where(chosen_NC == number)
            share = weight_NC[token, place, None].to(x_NE.dtype)
            mixed_NE.index_add_(0, token, expert(x_NE[token]) * share)
        return mixed_NE


@contextmanager
def overhear(model: nn.Module) -> Iterator[list[Routing]]:
    """Inside the block, a list of what every router of `model` decides, layer after layer."""
    told: list[Routing] = []
    routers = [module for module in model.modules() if isinstance(module, Telling)]
    for router in routers:
        router.told = told
    try:
        yield told
    finally:
        for router in routers:
            router.told = None
