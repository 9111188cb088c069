"""Keeping the experts of a mixture equally busy while it learns.

L layers with experts, N = L*B*T tokens of all of them, B rows, T places, X experts, C chosen experts per token.
"""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from ..config import ModelConfig, MoEConfig
from ..data.batch import IGNORED, Batch
from ..foundation.errors import ConfigError
from ..model.decoder import Decoder
from ..model.moe import Routing, Telling, overhear
from ..parallel.settings import ParallelSettings
from .care import ExpertSettings
from .objective import Objective
from .world import World

CPU = torch.device("cpu")


def real_tokens(batch: Batch) -> Tensor:
    """True where a token belongs to a text, false in the filling behind a packed row's texts, [B, T]."""
    is_target_BT = batch.targets_BT != IGNORED
    if batch.segments_BT is None:
        return is_target_BT.any(-1, keepdim=True).expand_as(is_target_BT)
    last_B1 = torch.where(is_target_BT, batch.segments_BT, -1).amax(-1, keepdim=True)
    return batch.segments_BT <= last_B1


def chosen_counts(routing: Routing, real_N: Tensor) -> Tensor:
    """How often each token chose each expert, 0 or 1, and 0 for filling, [N, X]."""
    chosen_NX = torch.zeros_like(routing.score_NX).scatter_(-1, routing.chosen_NC, 1.0)
    return chosen_NX * real_N[:, None]


def balance_over_batch(routings: list[Routing], real_BT: Tensor) -> Tensor:
    """X * sum over experts of (choices per token) * (mean score), tokens of all layers together.

    Fedus et al. 2021, equations 4 to 6, as transformers' load_balancing_loss_func takes them: C where all are equal.
    """
    real_N = real_BT.flatten().to(routings[0].score_NX.dtype)
    tokens = (real_N.sum() * len(routings)).clamp(min=1)
    chosen_X = torch.stack([chosen_counts(one, real_N).sum(0) for one in routings]).sum(0) / tokens
    score_X = torch.stack([(one.score_NX * real_N[:, None]).sum(0) for one in routings]).sum(0) / tokens
    return (chosen_X * score_X).sum() * len(chosen_X)


def balance_over_sequences(routings: list[Routing], real_BT: Tensor) -> Tensor:
    """The loss of each row, summed over layers, [B]: 1 per layer where all experts are chosen alike.

    DeepSeek-V2 (2024), section 2.1.2, and V3, equations 17 to 20: choices per token and place, times mean scores that
    sum to one.
    """
    tokens_B1 = real_BT.sum(-1, keepdim=True).clamp(min=1)
    total_B = torch.zeros(len(real_BT), device=real_BT.device)
    for one in routings:
        num_experts, num_chosen = one.score_NX.shape[-1], one.chosen_NC.shape[-1]
        share_NX = one.score_NX / one.score_NX.sum(-1, keepdim=True)
        real_N = real_BT.flatten().to(share_NX.dtype)
        shape = (*real_BT.shape, num_experts)
        chosen_BX = chosen_counts(one, real_N).view(shape).sum(1) * num_experts / (num_chosen * tokens_B1)
        share_BX = (share_NX * real_N[:, None]).view(shape).sum(1) / tokens_B1
        total_B = total_B + (chosen_BX * share_BX).sum(-1)
    return total_B


def router_z(routings: list[Routing], real_BT: Tensor) -> Tensor:
    """Mean over tokens of the squared log-sum-exp of a router's scores, added up over layers (Zoph et al. 2022)."""
    real_N = real_BT.flatten().to(routings[0].logit_NX.dtype)
    squares = [(one.logit_NX.logsumexp(-1).square() * real_N).sum() for one in routings]
    return torch.stack(squares).sum() / real_N.sum().clamp(min=1)


def summed_balance(config: MoEConfig, routings: list[Routing], batch: Batch) -> Tensor:
    """The balancing loss times the targets it stands for, so that it divides by them as every objective does."""
    real_BT = real_tokens(batch)
    if config.balance_over == "batch":
        return balance_over_batch(routings, real_BT) * batch.num_targets
    targets_B = (batch.targets_BT != IGNORED).sum(-1)
    return (balance_over_sequences(routings, real_BT) * targets_B).sum()


@dataclass
class Balanced:
    """An objective whose gradient also evens out the experts; its value is the other objective's alone.

    Balance is that of each micro batch: splitting a batch differently changes it, though not its scale.
    """

    base: Objective
    weight: float
    bias_rate: float = 0.0
    z_weight: float = 0.0
    sums: dict[str, Tensor] = field(default_factory=dict)
    chosen: dict[Telling, Tensor] = field(default_factory=dict)

    def __call__(self, model: Decoder, batch: Batch) -> Tensor:
        """Sum of the losses at the batch's targets."""
        with overhear(model) as routings:
            loss = self.base(model, batch)
        moe = model.config.moe
        assert moe is not None
        balance = summed_balance(moe, routings, batch)
        self.note(balance.detach(), routings, batch)
        pull = self.weight * balance
        if self.z_weight:
            pull = pull + self.z_weight * batch.num_targets * router_z(routings, real_tokens(batch))
        return loss + (pull - pull.detach())

    @torch.no_grad()
    def note(self, balance: Tensor, routings: list[Routing], batch: Batch) -> None:
        """Keep what the step's figures, and the bias of each router, need."""
        targets = torch.tensor(float(batch.num_targets), device=balance.device)
        for name, value in (("balance", balance.float()), ("targets", targets)):
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
        real_N = real_tokens(batch).flatten()
        for one in routings if self.bias_rate else ():
            counts_X = chosen_counts(one, real_N).sum(0)
            self.chosen[one.router] = self.chosen.get(one.router, torch.zeros_like(counts_X)) + counts_X

    def taken_figures(self, world: World, device: torch.device = CPU) -> dict[str, float]:
        """The balancing loss of the step over all processes, unweighted; called by all of them, once per step.

        A process that had no row to learn from has nothing to add.
        """
        balance, targets = (self.sums.pop(name, torch.zeros((), device=device)) for name in ("balance", "targets"))
        world.sum_([balance, targets])
        return {"balance_loss": float(balance / targets.clamp(min=1))}

    @torch.no_grad()
    def move_biases(self, model: nn.Module, world: World, *, skip: bool) -> None:
        """Raise the bias of experts chosen less than the mean, lower the others' (Wang et al. 2024, algorithm 1)."""
        chosen, self.chosen = self.chosen, {}
        routers = [module for module in model.modules() if isinstance(module, Telling)] if self.bias_rate else []
        for router in routers:
            counts_X = chosen.get(router, torch.zeros_like(router.steering_bias))
            world.sum_([counts_X])
            if not skip:
                router.steering_bias.add_(self.bias_rate * (counts_X.mean() - counts_X).sign())


def balanced(
    objective: Objective, config: ModelConfig, settings: ExpertSettings, parallel: ParallelSettings
) -> Objective:
    """The objective, balancing the experts of a model that has any. Raises ConfigError for what cannot be done here."""
    moe = config.moe
    for name in ("balance_loss", "z_loss", "bias_rate"):
        value = getattr(settings, name)
        if value and moe is None:
            raise ConfigError(f"experts.{name}={value}, but the model has no experts; leave it out")
    if moe is None:
        return objective
    weight = balance_weight(moe, settings)
    check_plan(weight or settings.z_loss, settings, parallel)
    if settings.bias_rate and not moe.correction_bias:
        raise ConfigError(f"experts.bias_rate={settings.bias_rate} needs routers with a correction bias (DeepSeek V3)")
    acts = weight or settings.bias_rate or settings.z_loss
    return Balanced(objective, weight, settings.bias_rate, settings.z_loss) if acts else objective


def balance_weight(moe: MoEConfig, settings: ExpertSettings) -> float:
    """What the balancing loss is multiplied with: what the settings say, or else the folder; 0: nothing is."""
    if settings.balance_loss is not None:
        return settings.balance_loss
    return moe.balance_loss if moe.balances else 0.0


def check_plan(weight: float, settings: ExpertSettings, parallel: ParallelSettings) -> None:
    """Raise ConfigError where no process sees all layers and places that are balanced, or biases are not shared."""
    for name in ("pipeline", "context"):
        degree = getattr(parallel, name)
        if degree > 1 and (weight or settings.bias_rate):
            raise ConfigError(
                f"parallel.{name}={degree}: experts are balanced over all layers and places of a row, which no process "
                f"sees then; set experts.balance_loss=0 to go without (it is {weight}) and leave experts.z_loss and "
                "experts.bias_rate at 0"
            )
    if settings.bias_rate and parallel.fsdp > 1:
        raise ConfigError(
            f"experts.bias_rate={settings.bias_rate} with parallel.fsdp={parallel.fsdp}: biases are moved in whole "
            "models only; use parallel.data"
        )


class HasRouters(Protocol):
    """A model over all processes."""

    def router_biases(self) -> dict[str, Tensor]:
        """The biases of its routers, by name."""


def moved_biases(objective: Objective, laid_out: HasRouters) -> dict[str, Tensor]:
    """The router biases that training moves, by name; part of the training state."""
    return laid_out.router_biases() if isinstance(objective, Balanced) and objective.bias_rate else {}
