"""Expert parallel (Lepikhin et al. 2020): each process holds some of the experts; tokens travel to them and back.

The processes of a group have tokens of their own and the same weights but for the experts. No token is dropped.

N tokens of this process, C chosen experts per token, M = N*C rows sent, S rows received, E hidden width,
X experts, R processes of the group, L experts of this process.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..model.decoder import Decoder
from ..model.moe import MoE


@dataclass(frozen=True)
class Route:
    """How many rows go to each process of `group`, and how many come from each."""

    sent: list[int]
    received: list[int]
    group: dist.ProcessGroup

    @property
    def back(self) -> "Route":
        """The way of the answers."""
        return Route(self.received, self.sent, self.group)


class Exchange(torch.autograd.Function):
    """Sends rows, sorted by the process they are for, and gives those that came, by the process they are from."""

    @staticmethod
    def forward(ctx: Any, rows_ME: Tensor, route: Route) -> Tensor:
        """[M, E] -> [S, E]."""
        ctx.route = route
        return exchange(rows_ME, route)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Gradients take the way back."""
        return exchange(gradients[0], ctx.route.back), None


def exchange(rows_ME: Tensor, route: Route) -> Tensor:
    """What the processes of the route send to this one, [S, ...]."""
    received = rows_ME.new_empty(sum(route.received), *rows_ME.shape[1:])
    dist.all_to_all_single(received, rows_ME.contiguous(), route.received, route.sent, group=route.group)
    return received


class SharedOutMoE(MoE):
    """A mixture of which this process holds consecutive experts, under the numbers they have in the whole model."""

    group: dist.ProcessGroup

    def mix(self, x_NE: Tensor, chosen_NC: Tensor, weight_NC: Tensor) -> Tensor:
        """What the chosen experts, here and elsewhere, make of this process's tokens, added up by weight, [N, E]."""
        order_M = chosen_NC.flatten().argsort(stable=True)
        token_M = order_M // chosen_NC.shape[1]
        counts_RL = self.counts(chosen_NC)
        asked_RL = exchange(counts_RL, even_route(self.group))
        route = Route(counts_RL.sum(1).tolist(), asked_RL.sum(1).tolist(), self.group)
        asked_SE: Tensor = Exchange.apply(x_NE[token_M], route)  # type: ignore[no-untyped-call]
        answer_SE = self.through_own(asked_SE, asked_RL)
        answer_ME: Tensor = Exchange.apply(answer_SE, route.back)  # type: ignore[no-untyped-call]
        share_M1 = weight_NC.flatten()[order_M, None].to(x_NE.dtype)
        return torch.zeros_like(x_NE).index_add_(0, token_M, answer_ME * share_M1)

    def counts(self, chosen_NC: Tensor) -> Tensor:
        """How many of this process's rows go to each expert of each process, [R, L]."""
        counts_X = chosen_NC.flatten().bincount(minlength=self.gate.config.num_experts)
        return counts_X.view(self.group.size(), -1)

    def through_own(self, asked_SE: Tensor, asked_RL: Tensor) -> Tensor:
        """What this process's experts make of the rows that came. Each is called once, also where it has no row."""
        own_L = torch.arange(asked_RL.shape[1], device=asked_RL.device)
        order_S = own_L.repeat(len(asked_RL)).repeat_interleave(asked_RL.flatten()).argsort(stable=True)
        parts = asked_SE[order_S].split(asked_RL.sum(0).tolist())
        experts: Any = self.experts
        answer_SE = torch.cat([expert(part_KE) for expert, part_KE in zip(experts.values(), parts, strict=True)])
        return answer_SE[order_S.argsort()]


def even_route(group: dist.ProcessGroup) -> Route:
    """One row to each process."""
    return Route([1] * group.size(), [1] * group.size(), group)


def shared_out_mixtures(model: nn.Module) -> dict[str, SharedOutMoE]:
    """The mixtures whose experts are shared out, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, SharedOutMoE)}


def share_out_experts(model: Decoder, group: dist.ProcessGroup) -> None:
    """Keep in `model`, in place, this process's share of every mixture's experts."""
    for mixture in [module for module in model.modules() if isinstance(module, MoE)]:
        count = len(mixture.experts) // group.size()
        first = group.rank() * count
        kept = {str(number): mixture.experts[number] for number in range(first, first + count)}
        shared_out: Any = mixture
        shared_out.__class__ = SharedOutMoE
        shared_out.experts, shared_out.group = nn.ModuleDict(kept), group
        shared_out.mix = torch.compiler.disable(shared_out.mix)  # how many rows travel is known only when they do


def names_of_experts(model: Decoder) -> frozenset[str]:
    """The weights that this process shares only with those that hold the same experts."""
    mixtures = shared_out_mixtures(model).items()
    names = {f"{name}.experts.{own}" for name, mixture in mixtures for own, _ in mixture.experts.named_parameters()}
    return frozenset(names)


def expert_groups(model: Decoder) -> list[list[nn.Module]]:
    """For each mixture that is shared out the experts that this process holds."""
    return [[*mixture.experts.children()] for mixture in shared_out_mixtures(model).values()]
