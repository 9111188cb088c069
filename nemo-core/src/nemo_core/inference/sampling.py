"""Choosing the next token of every row at once, each row by its own rules and its own random numbers.

A row's random number is a hash of its seed and of how many tokens it has generated, so it does not depend on what
else is in the batch. N rows, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .request import SamplingParams

MASK_64 = 2**64 - 1


@dataclass(frozen=True)
class RowRules:
    """The sampling parameters of the running rows as columns; rebuilt when the rows change."""

    temperature_N1: Tensor
    top_k_N: Tensor
    top_p_N1: Tensor
    min_p_N1: Tensor
    penalty_N1: Tensor
    all_greedy: bool
    any_greedy: bool
    uses_top_k: bool
    uses_top_p: bool
    uses_min_p: bool
    uses_penalty: bool


def row_rules(rows: Sequence[SamplingParams], device: torch.device) -> RowRules:
    """Columns from rows."""

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)[:, None]

    return RowRules(
        temperature_N1=column([r.temperature or 1.0 for r in rows]),
        top_k_N=torch.tensor([r.top_k for r in rows], dtype=torch.long, device=device),
        top_p_N1=column([r.top_p for r in rows]),
        min_p_N1=column([r.min_p for r in rows]),
        penalty_N1=column([r.repetition_penalty for r in rows]),
        all_greedy=all(r.temperature == 0 for r in rows),
        any_greedy=any(r.temperature == 0 for r in rows),
        uses_top_k=any(r.top_k > 0 for r in rows),
        uses_top_p=any(r.top_p < 1 for r in rows),
        uses_min_p=any(r.min_p > 0 for r in rows),
        uses_penalty=any(r.repetition_penalty != 1 for r in rows),
    )


def uniform(seed: int, index: int) -> float:
    """A number in [0, 1), a function of seed and index alone (SplitMix64; Steele, Lea and Flood 2014)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + (index + 1) * 0xD1342543DE82EF95) & MASK_64
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK_64
    return ((mixed ^ (mixed >> 31)) >> 40) / 2**24


def penalise(logits_NV: Tensor, seen_NV: Tensor, penalty_N1: Tensor) -> Tensor:
    """Make tokens seen before less likely (CTRL; Keskar et al. 2019, section 4.1)."""
    return torch.where(seen_NV, torch.where(logits_NV > 0, logits_NV / penalty_N1, logits_NV * penalty_N1), logits_NV)


def keep_top_k(logits_NV: Tensor, top_k_N: Tensor) -> Tensor:
    """-inf below each row's k-th largest score; rows with k = 0 are left alone."""
    vocabulary = logits_NV.shape[1]
    k_N = torch.where(top_k_N > 0, top_k_N.clamp(max=vocabulary), vocabulary)
    limited = k_N < vocabulary
    if not bool(limited.any()):
        return logits_NV
    widest = int(k_N[limited].max())
    best_NK = logits_NV.topk(widest, -1).values
    floor_N1 = best_NK.gather(1, (k_N.clamp(max=widest) - 1)[:, None])
    return logits_NV.masked_fill((logits_NV < floor_N1) & limited[:, None], -torch.inf)


def keep_top_p(logits_NV: Tensor, top_p_N1: Tensor) -> Tensor:
    """-inf outside the smallest set of likeliest tokens that holds `top_p` (Holtzman et al. 2020)."""
    ordered_NV, order_NV = logits_NV.sort(-1, descending=True)
    probability_NV = ordered_NV.softmax(-1)
    before_NV = probability_NV.cumsum(-1) - probability_NV
    dropped_NV = (before_NV >= top_p_N1) & (top_p_N1 < 1)
    return logits_NV.masked_fill(dropped_NV.gather(1, order_NV.argsort(-1)), -torch.inf)


def keep_min_p(logits_NV: Tensor, min_p_N1: Tensor) -> Tensor:
    """-inf for tokens less likely than `min_p` times the likeliest (Nguyen et al. 2024)."""
    floor_N1 = logits_NV.max(-1, keepdim=True).values + min_p_N1.log()
    return logits_NV.masked_fill(logits_NV < floor_N1, -torch.inf)


def choose(logits_NV: Tensor, rules: RowRules, uniform_N: Sequence[float]) -> Tensor:
    """The next token of each row, [N]: the likeliest, or drawn by inverting the cumulative distribution."""
    greedy_N = logits_NV.argmax(-1)
    if rules.all_greedy:
        return greedy_N
    scores_NV = logits_NV / rules.temperature_N1
    if rules.uses_top_k:
        scores_NV = keep_top_k(scores_NV, rules.top_k_N)
    if rules.uses_top_p:
        scores_NV = keep_top_p(scores_NV, rules.top_p_N1)
    if rules.uses_min_p:
        scores_NV = keep_min_p(scores_NV, rules.min_p_N1)
    drawn_N = invert(scores_NV.softmax(-1), torch.tensor(uniform_N, dtype=torch.float64, device=logits_NV.device))
    return drawn_N if not rules.any_greedy else torch.where(is_greedy(rules, uniform_N), greedy_N, drawn_N)


def is_greedy(rules: RowRules, uniform_N: Sequence[float]) -> Tensor:
    """Rows whose random number is the mark of greedy choice (negative)."""
    return torch.tensor([u < 0 for u in uniform_N], device=rules.top_k_N.device)


def invert(probability_NV: Tensor, uniform_N: Tensor) -> Tensor:
    """The token at which the cumulative probability passes `uniform_N` of the total, [N]."""
    cumulative_NV = probability_NV.double().cumsum(-1)
    aim_N1 = uniform_N.clamp(min=0)[:, None] * cumulative_NV[:, -1:]
    return torch.searchsorted(cumulative_NV, aim_N1, right=True).squeeze(1).clamp(max=probability_NV.shape[1] - 1)
