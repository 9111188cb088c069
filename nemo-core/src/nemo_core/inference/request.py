"""What is asked of the engine and what it answers; no tensor library is needed for these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from ..foundation.errors import InputError

RequestId = str | int
Alternatives = list[tuple[int, float]]
FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the tokens of one answer are chosen.

    `temperature` 0 is greedy; `top_k` 0, `top_p` 1 (nucleus, Holtzman et al. 2020), `min_p` 0 (Nguyen et al. 2024)
    and `repetition_penalty` 1 (Keskar et al. 2019) are off. `frequency_penalty` is taken off a token's score for each
    time the answer holds it, `presence_penalty` once (OpenAI); `logit_bias` is added to the scores of token ids. No
    token or text ends an answer before `min_tokens`. A `seed` fixes the answer whatever else is computed beside it;
    None draws one. `logprobs` None gives none, k >= 0 gives the chosen token's natural-log probability and the k
    likeliest ones'; they are the model's own, before any of these rules, or at the sampling temperature where
    `scaled_logprobs`. `prompt_logprobs` asks for the same of the prompt's tokens after the first. Raises InputError
    for values out of range.
    """

    max_tokens: int = 64
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    min_tokens: int = 0
    stop: Sequence[str] = ()
    stop_ids: Sequence[int] = ()
    seed: int | None = None
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    scaled_logprobs: bool = False
    ignore_eos: bool = False

    def __post_init__(self) -> None:
        limits = {
            "max_tokens": (1, float("inf")),
            "temperature": (0.0, 100.0),
            "top_k": (0, float("inf")),
            "top_p": (0.0, 1.0),
            "min_p": (0.0, 1.0),
            "repetition_penalty": (1e-3, 100.0),
            "frequency_penalty": (-100.0, 100.0),
            "presence_penalty": (-100.0, 100.0),
            "min_tokens": (0, self.max_tokens),
            "logprobs": (0, float("inf")),
            "prompt_logprobs": (0, float("inf")),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"{name}={value} is out of range; it lies between {low} and {high}")
        if isinstance(self.stop, str) or not all(self.stop):
            raise InputError(f"stop={self.stop!r} is out of range; it is a list of non-empty strings")
        wrong = {token: bias for token, bias in self.logit_bias.items() if not isfinite(bias)}
        if wrong:
            raise InputError(f"logit_bias={wrong} is out of range; a bias is a finite number")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt to continue. `id` is the caller's and comes back with every delta.

    `adapter` names one that `Engine.add_adapter` has loaded; None is the model as it is.
    """

    id: RequestId
    prompt_ids: Sequence[int]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    adapter: str | None = None


@dataclass(slots=True)
class Delta:
    """What one request gained in a step. `text` is whole characters without stop strings.

    `token_ids` include the token that ends the answer; `top_logprobs` holds (id, log-probability) pairs, best first.
    The first delta holds what was asked about the prompt, one entry for each of its tokens after the first.
    """

    id: RequestId
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top_logprobs: list[Alternatives] = field(default_factory=list)
    text: str = ""
    finish_reason: FinishReason | None = None
    prompt_logprobs: list[float] = field(default_factory=list)
    prompt_top_logprobs: list[Alternatives] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A finished answer: ids and their log-probabilities (ending token included), text without it."""

    prompt_ids: list[int]
    token_ids: list[int]
    logprobs: list[float]
    text: str
    finish_reason: FinishReason
    top_logprobs: list[Alternatives] = field(default_factory=list)
    prompt_logprobs: list[float] = field(default_factory=list)
