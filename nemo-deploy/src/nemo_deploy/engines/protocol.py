"""The boundary between the HTTP front and whatever generates tokens.

An engine is synchronous and driven by one thread: `add` and `cancel` between calls of `step`, each of which
advances every running request by about one token. Nothing here imports a tensor library.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

FinishReason = Literal["stop", "length", "cancelled"]
Message = Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateRequest:
    """One prompt to continue; `logprobs` None gives none, k gives the chosen token's and the k likeliest ones'."""

    id: int
    prompt_ids: tuple[int, ...]
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    seed: int | None = None
    logprobs: int | None = None
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural-log probability of a token at its place, and of the likeliest alternatives, best first.

    `logprob` is None for the first token of a prompt: nothing comes before it.
    """

    token_id: int
    logprob: float | None
    top: Sequence[tuple[int, float]] = ()


@dataclass(slots=True)
class Delta:
    """What one request gained since the last delta; `text` is whole characters, without stop strings."""

    id: int
    text: str = ""
    token_ids: Sequence[int] = ()
    logprobs: Sequence[TokenLogprob] = ()
    finish_reason: FinishReason | None = None


class Engine(Protocol):
    """Generates for up to `max_slots` requests at once; the others wait in order."""

    max_slots: int
    max_length: int

    @property
    def has_work(self) -> bool:
        """Whether a request is running or waiting."""

    @property
    def num_running(self) -> int:
        """Requests that hold a slot now."""

    def add(self, request: GenerateRequest) -> None:
        """Queue a request. Raises InputError where it cannot ever run."""

    def cancel(self, request_id: int) -> None:
        """Free the request's slot; no further delta names it. Unknown ids are fine: it may just have ended."""

    def step(self) -> list[Delta]:
        """Advance every running request."""

    def score(self, prompt_ids: Sequence[int], *, top: int) -> list[TokenLogprob]:
        """Log-probabilities of prompt tokens 1, 2, ... given those before; one fewer than the prompt has."""


class Tokenizer(Protocol):
    """The part of nemo-core's tokenizer that the front uses."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""

    @property
    def eos_id(self) -> int | None:
        """Id that ends a document, if the model has one."""

    def encode_prompt(self, text: str) -> list[int]:
        """Token ids of a text to go on from, behind those that start a text where the model has any."""

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Text of token ids; bytes that are no whole character read as U+FFFD."""

    def encode_chat(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> list[int]:
        """Token ids of a conversation under the model's chat template."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that is ready to answer, and what a client may want to know of it."""

    engine: Engine
    tokenizer: Tokenizer
    facts: Mapping[str, str | int] = field(default_factory=dict)
    tokenizer_info: Mapping[str, object] = field(default_factory=dict)
