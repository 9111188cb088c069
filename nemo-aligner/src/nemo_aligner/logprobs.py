"""Log-probabilities of answers under a model: only answer positions go through the head.

Shapes: B turns of a batch, T tokens of the longest (less its last), N answer tokens of all turns laid end to end,
E width of the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nemo_core.model.decoder import Decoder
from nemo_core.model.heads import token_log_probs, token_log_probs_and_entropy


@dataclass(frozen=True)
class Turn:
    """A prompt and the answer to it, as token ids; the answer includes its end-of-turn token where it has one."""

    prompt_ids: Sequence[int]
    answer_ids: Sequence[int]

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.answer_ids)


@dataclass(frozen=True)
class TurnBatch:
    """Turns padded on the right (causal attention keeps padding out), and where their answer tokens are predicted."""

    ids_BT: Tensor
    row_N: Tensor
    column_N: Tensor
    target_N: Tensor

    @property
    def num_turns(self) -> int:
        """Rows of the batch."""
        return len(self.ids_BT)


def collate(turns: Sequence[Turn], *, pad_id: int = 0) -> TurnBatch:
    """One batch of `turns`. A token is predicted at the position before its own, so no turn's last token is fed."""
    longest = max(len(turn) for turn in turns) - 1
    ids_BT = torch.full((len(turns), longest), pad_id, dtype=torch.long)
    rows: list[int] = []
    columns: list[int] = []
    targets: list[int] = []
    for row, turn in enumerate(turns):
        ids = [*turn.prompt_ids, *turn.answer_ids]
        ids_BT[row, : len(ids) - 1] = torch.tensor(ids[:-1])
        rows += [row] * len(turn.answer_ids)
        columns += range(len(turn.prompt_ids) - 1, len(ids) - 1)
        targets += turn.answer_ids
    return TurnBatch(ids_BT, torch.tensor(rows), torch.tensor(columns), torch.tensor(targets))


def answer_log_probs(model: Decoder, batch: TurnBatch, *, temperature: float = 1.0) -> Tensor:
    """Log-prob of each answer token, [N], float32, at the sampling temperature; differentiable."""
    return token_log_probs(
        _answer_hidden(model, batch),
        model.head_weight,
        batch.target_N,
        temperature=temperature,
        softcap=model.config.logit_softcap,
    )


def answer_log_probs_and_entropy(
    model: Decoder, batch: TurnBatch, *, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """As `answer_log_probs`, with the entropy in nats of the distribution that each token was drawn from."""
    return token_log_probs_and_entropy(
        _answer_hidden(model, batch),
        model.head_weight,
        batch.target_N,
        temperature=temperature,
        softcap=model.config.logit_softcap,
    )


def _answer_hidden(model: Decoder, batch: TurnBatch) -> Tensor:
    hidden_BTE: Tensor = model(batch.ids_BT)
    return hidden_BTE[batch.row_N, batch.column_N]


def sum_by_turn(value_N: Tensor, batch: TurnBatch) -> Tensor:
    """Sum of per-token values for each turn, [B]."""
    return torch.zeros(batch.num_turns, dtype=value_N.dtype).index_add(0, batch.row_N, value_N)


def bucket_by_length(lengths: Sequence[int], *, max_tokens: int) -> list[list[int]]:
    """Indices in micro batches of similar length, so that little is padding: rows x longest stays within `max_tokens`.

    An item longer than `max_tokens` makes a micro batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index], index))
    buckets: list[list[int]] = []
    for index in order:
        if buckets and (len(buckets[-1]) + 1) * lengths[index] <= max_tokens:
            buckets[-1].append(index)
        else:
            buckets.append([index])
    return buckets
