"""Next tokens of many sequences at once, each from its own distribution and its own random numbers.

R rows (sequences), V vocabulary, C candidates, B blocks of J candidates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import kernels
from .request import Alternatives, SamplingParams

BLOCK = 64
LARGEST_SHARE = 1 - 1e-12  # below 1, so that a weight of zero at the end is never reached
SMALLEST_TEMPERATURE = 1e-6  # smaller ones are greedy in effect, and would overflow
Rows = Tensor | None  # row numbers; None: all of them


@dataclass(frozen=True)
class SamplingTable:
    """The sampling settings of the rows as columns. Rows with a cut tail are drawn from a sorted distribution."""

    greedy: Rows
    whole: Rows
    cut: Rows
    temperature_R1: Tensor
    top_k_R1: Tensor
    top_p_R1: Tensor
    min_p_R1: Tensor
    widest: int
    logprobs: Sequence[int | None]
    scale_R1: Tensor | None

    @classmethod
    def of(cls, params: Sequence[SamplingParams], vocab_size: int, device: torch.device) -> "SamplingTable":
        """Columns of `params`; how a row is drawn depends on its own settings alone, not on its neighbours'."""
        kinds = [kind_of(p) for p in params]

        def rows(kind: str) -> Rows:
            chosen = [i for i, k in enumerate(kinds) if k == kind]
            return None if len(chosen) == len(kinds) else torch.tensor(chosen, dtype=torch.long, device=device)

        def column(values: Sequence[float], dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)[:, None]

        top_k = [p.top_k or vocab_size for p in params]
        return cls(
            greedy=rows("greedy"),
            whole=rows("whole"),
            cut=rows("cut"),
            temperature_R1=column([max(p.temperature, SMALLEST_TEMPERATURE) for p in params]),
            top_k_R1=column(top_k, torch.long),
            top_p_R1=column([p.top_p if p.top_p < 1 else torch.inf for p in params]),  # sums can round up to 1
            min_p_R1=column([p.min_p for p in params]),
            widest=min(vocab_size, max((k for k, kind in zip(top_k, kinds) if kind == "cut"), default=0)),
            logprobs=[p.logprobs for p in params],
            scale_R1=column([scale_of(p) for p in params]) if any(scale_of(p) != 1 for p in params) else None,
        )


def kind_of(params: SamplingParams) -> str:
    """How a row's token is found: the likeliest, from the whole distribution, or from one with its tail cut."""
    if params.temperature == 0:
        return "greedy"
    return "cut" if params.top_k or params.top_p < 1 or params.min_p > 0 else "whole"


def scale_of(params: SamplingParams) -> float:
    """What scores are divided by before their log-probabilities are reported."""
    return params.temperature or 1.0 if params.scaled_logprobs else 1.0


def take(values: Tensor, rows: Rows) -> Tensor:
    """The given rows of `values`."""
    return values if rows is None else values[rows]


def draw(logits_RV: Tensor, table: SamplingTable, uniforms: Callable[[], Tensor]) -> Tensor:
    """The next token of each row, [R]; where one is drawn at all, `uniforms()` in (0, 1) decides where the row's
    cumulative distribution is cut.
    """
    if table.greedy is None:
        return pick_likeliest(logits_RV)
    uniform_R = uniforms()
    token_R = torch.empty(logits_RV.shape[0], dtype=torch.long, device=logits_RV.device)
    if len(table.greedy):
        token_R[table.greedy] = pick_likeliest(logits_RV[table.greedy])
    for rows, pick in ((table.whole, pick_whole), (table.cut, pick_cut)):
        if rows is None:
            return pick(logits_RV, table, None, uniform_R)
        if len(rows):
            token_R[rows] = pick(logits_RV[rows], table, rows, uniform_R[rows])
    return token_R


def pick_likeliest(logits_RV: Tensor) -> Tensor:
    """Greedy choice."""
    return kernels.likeliest(logits_RV.contiguous()) if kernels.take(logits_RV) else logits_RV.argmax(-1)


def pick_whole(logits_RV: Tensor, table: SamplingTable, rows: Rows, uniform_R: Tensor) -> Tensor:
    """A token from softmax(logits / temperature)."""
    return invert(soften(logits_RV, take(table.temperature_R1, rows)), uniform_R)


def pick_cut(logits_RV: Tensor, table: SamplingTable, rows: Rows, uniform_R: Tensor) -> Tensor:
    """A token from the distribution without its tail."""
    weight_RC, index_RC = without_tail(logits_RV, table, rows)
    chosen_R = invert(weight_RC, uniform_R)
    return index_RC.gather(1, chosen_R[:, None])[:, 0]


def without_tail(logits_RV: Tensor, table: SamplingTable, rows: Rows) -> tuple[Tensor, Tensor]:
    """Weights of the likeliest tokens and their ids, [R, C]: top-k, then top-p of what is left, then min-p.

    The order is transformers'. As there and in vLLM, all tokens as likely as the k-th are among the top k.
    """
    sorted_RC, index_RC = likeliest(logits_RV, take(table.top_k_R1, rows), table.widest)
    probability_RC = soften(sorted_RC, take(table.temperature_R1, rows))
    before_RC = probability_RC.cumsum(-1) - probability_RC
    kept_RC = (before_RC < take(table.top_p_R1, rows)) | (torch.arange(index_RC.shape[1], device=index_RC.device) == 0)
    kept_RC &= probability_RC >= take(table.min_p_R1, rows) * probability_RC[:, :1]
    return probability_RC * kept_RC, index_RC


def likeliest(logits_RV: Tensor, top_k_R1: Tensor, widest: int) -> tuple[Tensor, Tensor]:
    """The top k of each row, best first and equals by id, and their ids, [R, C]; others among them are -inf."""
    index_RC = candidates(logits_RV, widest)
    sorted_RC, order_RC = logits_RV.gather(1, index_RC).sort(dim=-1, descending=True, stable=True)
    least_R1 = sorted_RC.gather(1, top_k_R1.clamp(max=sorted_RC.shape[1]) - 1)
    return sorted_RC.masked_fill(sorted_RC < least_R1, -torch.inf), index_RC.gather(1, order_RC)


def candidates(logits_RV: Tensor, count: int) -> Tensor:
    """Ids, rising, of the `count` likeliest tokens of each row, and of all that are as likely as its last, [R, C]."""
    size = logits_RV.shape[1]
    if count < size:
        value_RC, index_RC = logits_RV.topk(count + 1, dim=-1)
        if not bool((value_RC[:, -1] == value_RC[:, -2]).any()):
            return index_RC.sort(-1).values
        count = int((logits_RV >= value_RC[:, -2:-1]).sum(-1).amax())
    if count < size:
        return logits_RV.topk(count, dim=-1).indices.sort(-1).values
    return torch.arange(size, device=logits_RV.device).expand(len(logits_RV), -1)


def soften(logits_RV: Tensor, temperature_R1: Tensor) -> Tensor:
    """softmax(logits / temperature)."""
    return (logits_RV / temperature_R1).softmax(-1)


def invert(weight_RC: Tensor, uniform_R: Tensor) -> Tensor:
    """Where the running sum of each row's weights passes the row's share of their total, [R].

    First among the sums of blocks of J weights, then inside the block found: much faster than one long running sum.
    """
    blocks_RBJ = F.pad(weight_RC, (0, -weight_RC.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    total_RB = blocks_RBJ.sum(-1)
    block_R, rest_R = pass_share(total_RB, uniform_R)
    inside_RJ = blocks_RBJ.gather(1, block_R[:, None, None].expand(-1, 1, BLOCK))[:, 0]
    place_R, _ = pass_share(inside_RJ, rest_R)
    return (block_R * BLOCK + place_R).clamp(max=weight_RC.shape[1] - 1)


def pass_share(weight_RC: Tensor, share_R: Tensor) -> tuple[Tensor, Tensor]:
    """Where each row's running sum passes its share of the total, and how far into that weight (0 to 1) it does."""
    sum_RC = weight_RC.cumsum(-1, dtype=torch.float64)
    aim_R1 = share_R[:, None] * sum_RC[:, -1:]
    place_R1 = torch.searchsorted(sum_RC, aim_R1, right=True).clamp(max=weight_RC.shape[1] - 1)
    over_R1 = sum_RC.gather(1, place_R1) - aim_R1
    return place_R1[:, 0], (1 - over_R1 / weight_RC.gather(1, place_R1)).clamp(0, LARGEST_SHARE)[:, 0]


def report(logits_RV: Tensor, token_R: Tensor, table: SamplingTable) -> list[tuple[float, Alternatives]]:
    """Each row's log-probability of its token, and its likeliest alternatives, best first, where it asks for them.

    Where no row asks, the plain scores stand in: they too are no number where the model is broken.
    """
    if all(count is None for count in table.logprobs):
        return [(score, []) for score in logits_RV.gather(1, token_R[:, None])[:, 0].tolist()]
    if table.scale_R1 is not None:
        logits_RV = logits_RV / table.scale_R1
    normalizer_R = logits_RV.logsumexp(-1)
    own = (logits_RV.gather(1, token_R[:, None])[:, 0] - normalizer_R).tolist()
    return list(zip(own, alternatives(logits_RV, normalizer_R, [count or 0 for count in table.logprobs])))


def alternatives(logits_RV: Tensor, normalizer_R: Tensor, counts: Sequence[int]) -> list[Alternatives]:
    """The `counts` likeliest tokens of each row with their log-probabilities, best first."""
    widest = min(max(counts, default=0), logits_RV.shape[1])
    if widest == 0:
        return [[] for _ in counts]
    value_RC, index_RC = logits_RV.topk(widest, dim=-1)
    pairs = zip(index_RC.tolist(), (value_RC - normalizer_R[:, None]).tolist(), counts)
    return [list(zip(indices[:count], values[:count])) for indices, values, count in pairs]


def uniforms(seeds_R: "np.ndarray[tuple[int], np.dtype[np.uint64]]", steps_R: Sequence[int]) -> Tensor:
    """A number in (0, 1) for each row, float64: a hash (splitmix64, Steele et al. 2014) of its seed and its step."""
    golden, first, second = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
    mixed = seeds_R
    for counter in (np.zeros(len(seeds_R), np.uint64), np.asarray(steps_R, np.uint64)):
        mixed = mixed + (counter + np.uint64(1)) * golden
        mixed = (mixed ^ (mixed >> np.uint64(30))) * first
        mixed = (mixed ^ (mixed >> np.uint64(27))) * second
        mixed = mixed ^ (mixed >> np.uint64(31))
    return torch.from_numpy(((mixed >> np.uint64(32)).astype(np.float64) + 0.5) / 2.0**32)
