"""How a model ranks held-out pairs, by its own log-probs and against the reference it started from.

Shapes: P pairs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..algorithms.dpo import PreferenceLoss
from ..losses import dpo, ipo, preference_margin
from ..rows.tokenize import TokenPair
from ..runtime.group import Group

PairScore = tuple[float, float, float, float]
"""Log-prob of the chosen answer, its mean per token, and the same of the rejected answer."""


def score_pairs(scorer: Group, pairs: Sequence[TokenPair]) -> list[PairScore]:
    """The log-probs of both answers of each pair under the model of `scorer`."""
    turns = [turn for pair in pairs for turn in (pair.chosen, pair.rejected)]
    rows = scorer.shard("log_probs", turns, sizes=[len(turn) for turn in turns])
    totals = [(sum(row), sum(row) / max(1, len(row))) for row in rows]
    return [(*chosen, *rejected) for chosen, rejected in zip(totals[::2], totals[1::2])]


def columns(scores: Sequence[PairScore], loss: PreferenceLoss) -> tuple[Tensor, Tensor]:
    """Chosen and rejected log-probs as `loss` compares them: sums for DPO, means for IPO."""
    offset = 1 if loss == "ipo" else 0
    table = torch.tensor(scores, dtype=torch.float64)
    return table[:, offset], table[:, offset + 2]


def margins(scores: Sequence[PairScore], loss: PreferenceLoss) -> list[float]:
    """How much more likely each chosen answer is than its rejected one, in nats."""
    chosen_P, rejected_P = columns(scores, loss)
    values: list[float] = (chosen_P - rejected_P).tolist()
    return values


def own_figures(scores: Sequence[PairScore]) -> dict[str, float]:
    """How the model itself ranks the pairs, without a reference.

    ``preference_accuracy`` compares log-probs per token, so that length decides nothing; ``.._by_sum`` compares whole
    answers; ``logp_margin`` is the mean difference per token, in nats.
    """
    chosen_P, rejected_P = columns(scores, "ipo")
    return {
        "preference_accuracy": share_won(chosen_P - rejected_P),
        "preference_accuracy_by_sum": share_won(torch.tensor(margins(scores, "dpo"))),
        "logp_margin": float((chosen_P - rejected_P).mean()),
    }


def figures(
    scores: Sequence[PairScore], reference: Sequence[PairScore], *, beta: float, loss: PreferenceLoss
) -> dict[str, float]:
    """`own_figures`, and against the reference: loss, and accuracy and margin of the implicit reward."""
    margin_P = preference_margin(*columns(scores, loss), torch.tensor(margins(reference, loss), dtype=torch.float64))
    cost_P = ipo(margin_P, beta=beta) if loss == "ipo" else dpo(margin_P, beta=beta)
    return {
        **own_figures(scores),
        "loss": float(cost_P.mean()),
        "reward_accuracy": share_won(margin_P),
        "margin": float(beta * margin_P.mean()),
    }


def share_won(margin_P: Tensor) -> float:
    """Share of pairs with a positive margin; a tie counts half."""
    return float(((margin_P > 0).double() + 0.5 * (margin_P == 0).double()).mean())
