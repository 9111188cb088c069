"""Rules that change the scores of some tokens before one is drawn, row by row.

R rows, V vocabulary, K tokens with a rule.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from .request import SamplingParams


class Ruled(Protocol):
    """What the rules look at."""

    @property
    def sampling(self) -> SamplingParams:
        """The rules."""

    @property
    def seen(self) -> Collection[int]:
        """Tokens of prompt and answer so far."""

    @property
    def counts(self) -> Mapping[int, int]:
        """How often each token occurs in the answer so far."""

    @property
    def forbidden(self) -> Sequence[int]:
        """Tokens that must not come next: those that would end the answer too early."""


def has_rules(sampling: SamplingParams) -> bool:
    """Whether anything but the model decides the scores."""
    return bool(
        sampling.repetition_penalty != 1
        or sampling.frequency_penalty
        or sampling.presence_penalty
        or sampling.logit_bias
        or sampling.min_tokens
    )


def adjust(logits_RV: Tensor, rows: Sequence[Ruled]) -> Tensor:
    """The scores with each row's rules applied, in transformers' order: bias, repetition, the other penalties, ends.

    The input is left alone; a row without rules is not touched.
    """
    chosen = [index for index, row in enumerate(rows) if has_rules(row.sampling)]
    if not chosen:
        return logits_RV
    adjusted_RV = logits_RV.clone()
    for index in chosen:
        adjust_row(adjusted_RV[index], rows[index])
    return adjusted_RV


def adjust_row(logits_V: Tensor, row: Ruled) -> None:
    """Apply one row's rules in place."""
    sampling = row.sampling
    if sampling.logit_bias:
        logits_V[list(sampling.logit_bias)] += torch.tensor(
            list(sampling.logit_bias.values()), dtype=logits_V.dtype, device=logits_V.device
        )
    if sampling.repetition_penalty != 1:
        known = [token for token in row.seen if token < len(logits_V)]  # a prompt adapter's virtual tokens are not
        tokens_K = torch.tensor(known, dtype=torch.int64, device=logits_V.device)
        logits_V[tokens_K] = penalize(logits_V[tokens_K], sampling.repetition_penalty)
    if row.counts and (sampling.frequency_penalty or sampling.presence_penalty):
        tokens_K = torch.tensor(list(row.counts), device=logits_V.device)
        count_K = torch.tensor(list(row.counts.values()), dtype=logits_V.dtype, device=logits_V.device)
        logits_V[tokens_K] -= count_K * sampling.frequency_penalty + sampling.presence_penalty
    ends = [token for token in row.forbidden if 0 <= token < len(logits_V)]  # folders name ends that models lack
    if ends:
        logits_V[ends] = -torch.inf


def penalize(logits_K: Tensor, penalty: float) -> Tensor:
    """Lower what was seen: positive scores are divided by the penalty, negative ones multiplied (Keskar et al.)."""
    return torch.where(logits_K > 0, logits_K / penalty, logits_K * penalty)
