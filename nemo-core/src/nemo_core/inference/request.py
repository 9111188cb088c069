"""What is asked of the engine and what it answers; no tensor library is needed for these."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..foundation.errors import InputError

RequestId = str | int
Alternatives = list[tuple[int, float]]
FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the tokens of one answer are chosen.

    `temperature` 0 is greedy; `top_k` 0, `top_p` 1 (nucleus, Holtzman et al. 2020), `min_p` 0 (Nguyen et al. 2024)
    and `repetition_penalty` 1 (Keskar et al. 2019) are off. A `seed` fixes the answer whatever else is computed beside
    it; None draws one. `logprobs` None gives none, k >= 0 gives the chosen token's natural-log probability and the k
    likeliest ones'; they are the model's own, or at the sampling temperature where `scaled_logprobs`. Raises
    InputError for values out of range.
    """

    max_tokens: int = 64
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: Sequence[str] = ()
    stop_ids: Sequence[int] = ()
    seed: int | None = None
    logprobs: int | None = None
    scaled_logprobs: bool = False
    ignore_eos: bool = False

    def __post_init__(self) -> None:
        limits = {
            "max_tokens": (1, float("inf")),
            "temperature": (0.0, 100.0),
            "top_k": (0, float("inf")),
            "min_p": (0.0, 1.0),
            "repetition_penalty": (1e-3, 100.0),
            "logprobs": (0, float("inf")),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"{name}={value} is out of range; it lies between {low} and {high}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p={self.top_p} is out of range; it lies above 0 and at most at 1")
        if isinstance(self.stop, str) or not all(self.stop):
            raise InputError(f"stop={self.stop!r} is out of range; it is a list of non-empty strings")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt to continue. `id` is the caller's and comes back with every delta."""

    id: RequestId
    prompt_ids: Sequence[int]
    sampling: SamplingParams = field(default_factory=SamplingParams)


@dataclass(slots=True)
class Delta:
    """What one request gained in a step. `text` is whole characters without stop strings.

    `token_ids` include the token that ends the answer; `top_logprobs` holds (id, log-probability) pairs, best first.
    """

    id: RequestId
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top_logprobs: list[Alternatives] = field(default_factory=list)
    text: str = ""
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A finished answer: ids and their log-probabilities (ending token included), text without it."""

    prompt_ids: list[int]
    token_ids: list[int]
    logprobs: list[float]
    text: str
    finish_reason: FinishReason
