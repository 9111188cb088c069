"""How likely a model finds given continuations, many at a time.

B rows, T places, N targets, E hidden width, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.batch import IGNORED, Batch
from ..foundation.errors import InputError
from ..model.decoder import Decoder
from ..peft.adapter import prefix_ids


@dataclass(frozen=True)
class Scored:
    """Summed log-probability (nats) of a continuation's tokens, and whether each of them is the likeliest."""

    log_prob: float
    is_greedy: bool


@dataclass(frozen=True)
class Continuation:
    """Tokens to score, after tokens that are given (at least one)."""

    context: Sequence[int]
    targets: Sequence[int]


@torch.no_grad()
def score_continuations(
    model: Decoder,
    continuations: Sequence[Continuation],
    *,
    batch_size: int = 16,
    max_length: int | None = None,
    on_batch: Callable[[int], None] = lambda count: None,
) -> list[Scored]:
    """The score of each continuation, in order; contexts too long for the model lose their beginning.

    So do those whose input is longer than `max_length`.

    Rows of like length are computed together, filled up on the right, which a causal model does not see. The virtual
    tokens of an active prompt adapter come first. Raises InputError for an empty context, and for targets that are none
    or do not fit.
    """
    model.eval()
    prefix = prefix_ids(model)
    room = model.config.max_positions - len(prefix)
    rows = [fitted(one, room=min(max_length or room, room)) for one in continuations]
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index].context) - len(rows[index].targets))
    scores: list[Scored] = [Scored(0.0, True)] * len(rows)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        for index, score in zip(chosen, score_batch(model, [rows[i] for i in chosen], prefix)):
            scores[index] = score
        on_batch(len(chosen))
    return scores


def fitted(one: Continuation, *, room: int) -> Continuation:
    """The continuation with as much of its context, from the right, as leaves its input within `room` tokens."""
    if not one.context:
        raise InputError("a continuation needs at least one token before it; give the end-of-text token")
    if not one.targets:
        raise InputError("a continuation has no tokens of its own: its text merges with what is before it, or is empty")
    kept = room + 1 - len(one.targets)
    if kept < 1:
        raise InputError(f"{len(one.targets)} tokens cannot be scored at once; this model takes {room}")
    return Continuation(one.context[-kept:], one.targets)


def score_batch(model: Decoder, rows: Sequence[Continuation], prefix: Sequence[int]) -> list[Scored]:
    """Scores of rows computed together."""
    device = model.head_weight.device
    batch = batch_of(rows, prefix).to(device)
    hidden_BTE = model(batch.ids_BT)
    scores = []
    for hidden_TE, targets_T in zip(hidden_BTE, batch.targets_BT):
        counted_T = targets_T != IGNORED
        score_NV = model.logits(hidden_TE[counted_T]).float()
        targets_N = targets_T[counted_T]
        log_prob = token_log_prob(score_NV, targets_N)
        scores.append(Scored(log_prob, bool((score_NV.argmax(-1) == targets_N).all())))
    return scores


def token_log_prob(score_NV: Tensor, targets_N: Tensor) -> float:
    """Summed log-softmax at the targets."""
    return float(score_NV.log_softmax(-1).gather(1, targets_N[:, None]).double().sum())


def batch_of(rows: Sequence[Continuation], prefix: Sequence[int]) -> Batch:
    """Inputs and targets of rows, filled up on the right."""
    whole = [[*prefix, *row.context, *row.targets] for row in rows]
    length = max(map(len, whole)) - 1
    ids_BT = torch.zeros(len(rows), length, dtype=torch.int64)
    targets_BT = torch.full_like(ids_BT, IGNORED)
    for place, (row, ids) in enumerate(zip(rows, whole)):
        ids_BT[place, : len(ids) - 1] = torch.tensor(ids[:-1])
        targets_BT[place, len(ids) - 1 - len(row.targets) : len(ids) - 1] = torch.tensor(row.targets)
    return Batch(ids_BT, targets_BT)


def rolling(tokens: Sequence[int], *, first: int, length: int, stride: int | None = None) -> list[Continuation]:
    """A text cut into continuations that score each of its tokens once, the first after the token `first`.

    Each predicts at most `stride` new tokens (default: `length`, windows that share no input) with as many tokens
    before them as `length` inputs hold. A smaller stride gives each token more context: likelier, and slower by
    length / stride.
    """
    step = length if stride is None else stride
    whole = [first, *tokens]
    found = []
    done = 0
    while done < len(tokens):
        new = min(length if done == 0 else step, len(tokens) - done)
        end = done + new
        found.append(Continuation(whole[max(0, end - length) : done + 1], tokens[done:end]))
        done = end
    return found
