"""Optimizers over the weights that are trained."""

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.optim import Adafactor, AdamW, Muon, Optimizer

from .weights import trained_weights as trained_weights
from .whole_matrices import ByWholeMatrix, is_in_parts

EMBEDDINGS = ("embed_tokens", "lm_head", "score.weight")
make_muon = functools.partial(Muon, adjust_lr_fn="match_rms_adamw")
make_adafactor = functools.partial(Adafactor, foreach=False)


def build_optimizer(
    model: nn.Module, *, learning_rate: float, weight_decay: float, betas: tuple[float, float]
) -> AdamW:
    """Fused AdamW; weight decay acts on matrices, not on norms and biases."""
    return adamw([weight for _, weight in trained_weights(model)], learning_rate, weight_decay, betas)


def build_muon(model: nn.Module, *, learning_rate: float, weight_decay: float, betas: tuple[float, float]) -> Optimizer:
    """Muon for the hidden matrices, AdamW for embeddings, output head, norms and biases; one learning rate for both.

    Where there are weights of one kind only, as in many adapters, it is that kind's optimizer.
    """
    hidden: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, weight in trained_weights(model):
        (hidden if is_hidden(name, weight) else rest).append(weight)
    if not hidden:
        return adamw(rest, learning_rate, weight_decay, betas)
    groups = [{"params": hidden, "lr": learning_rate, "weight_decay": weight_decay}]
    muon = ByWholeMatrix(make_muon, groups) if is_in_parts(hidden) else make_muon(groups)
    return MuonWithAdamW(muon, adamw(rest, learning_rate, weight_decay, betas)) if rest else muon


def build_adafactor(
    model: nn.Module, *, learning_rate: float, weight_decay: float, betas: tuple[float, float]
) -> Optimizer:
    """Adafactor (Shazeer and Stern 2018): row and column sums of squared gradients, no mean; least memory.

    Its decay rises with the step, so `betas` are not used; the learning rate is relative to each weight's size.
    """
    del betas
    weights = [weight for _, weight in trained_weights(model)]
    groups = matrix_groups(weights, learning_rate, weight_decay)
    return ByWholeMatrix(make_adafactor, groups) if is_in_parts(weights) else make_adafactor(groups)


def is_hidden(name: str, weight: Tensor) -> bool:
    """Whether a weight is one of the matrices between embedding and output head."""
    return weight.ndim == 2 and not any(part in name for part in EMBEDDINGS)


def matrix_groups(weights: list[nn.Parameter], learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices, which decay, and the rest, each with its learning rate."""
    return [{**group, "lr": learning_rate} for group in groups_by_decay(weights, weight_decay)]


def adamw(weights: list[nn.Parameter], learning_rate: float, weight_decay: float, betas: tuple[float, float]) -> AdamW:
    """AdamW (Loshchilov and Hutter 2019), fused."""
    return AdamW(groups_by_decay(weights, weight_decay), lr=learning_rate, betas=betas, fused=True)


def groups_by_decay(weights: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices, which decay, and the rest, which does not."""
    groups = [
        {"params": [w for w in weights if w.ndim >= 2], "weight_decay": weight_decay},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


class MuonWithAdamW(Optimizer):
    """Two optimizers that act as one: their groups and their state are this one's.

    Muon (Jordan et al. 2024) makes each matrix's update orthogonal; scaled to the size of an AdamW update (Liu et al.
    2025), both share a learning rate.
    """

    def __init__(self, muon: Optimizer, rest: AdamW) -> None:
        super().__init__([*muon.param_groups, *rest.param_groups], {})
        self.parts: tuple[Optimizer, ...] = (muon, rest)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
        for part in self.parts:
            part.state = self.state

    def step(self, closure: Callable[[], Any] | None = None) -> Tensor | None:  # type: ignore[override]
        """Update every weight. A closure is refused: Muon and AdamW would call it once each."""
        if closure is not None:
            raise ValueError("MuonWithAdamW takes no closure")
        for part in self.parts:
            part.step()
        return None


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Let the next step use `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate
