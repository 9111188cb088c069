"""One HTTP request's generations: submitted, gathered, counted."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from ...engines.mailbox import Mailbox
from ...engines.protocol import Delta, GenerateRequest
from ...engines.runner import QueueFull
from ..errors import ApiError
from ..service import Service
from .prompts import Prompt
from .requests import Sampling


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to generate for each prompt, `n` times."""

    prompts: Sequence[Prompt]
    budgets: Sequence[int]
    sampling: Sampling
    logprobs: int | None

    @property
    def n(self) -> int:
        """Choices per prompt."""
        return self.sampling.n or 1


def engine_requests(wanted: Wanted, ids: Sequence[int]) -> list[GenerateRequest]:
    """One request per choice, in choice order; equal seeds give equal choices whatever runs beside them."""
    body, n = wanted.sampling, wanted.n
    return [
        GenerateRequest(
            id=ids[index * n + choice],
            prompt_ids=prompt.ids,
            max_tokens=budget,
            temperature=1.0 if body.temperature is None else body.temperature,
            top_p=body.top_p or 1.0,
            top_k=max(body.top_k or 0, 0),
            min_p=body.min_p or 0.0,
            repetition_penalty=body.repetition_penalty or 1.0,
            presence_penalty=body.presence_penalty or 0.0,
            frequency_penalty=body.frequency_penalty or 0.0,
            logit_bias=body.biases,
            min_tokens=min(body.min_tokens or 0, budget),
            stop=body.stops,
            stop_ids=tuple(body.stop_token_ids or ()),
            seed=None if body.seed is None else body.seed + choice,
            logprobs=wanted.logprobs,
            ignore_eos=bool(body.ignore_eos),
        )
        for index, (prompt, budget) in enumerate(zip(wanted.prompts, wanted.budgets, strict=True))
        for choice in range(n)
    ]


@dataclass(kw_only=True)
class Generation:
    """Deltas of all choices, their `id` being the choice's index; `openings` come before the engine's."""

    service: Service
    mailbox: Mailbox
    prompt_tokens: int
    openings: Sequence[Delta] = ()
    generated_tokens: int = 0
    _reasons: list[str] = field(default_factory=list)

    async def batches(self) -> AsyncIterator[Sequence[Delta]]:
        """Everything that is there at once, until all choices have ended; counted when they have."""
        if self.openings:
            yield self.openings
        async for batch in self.mailbox.batches():
            for delta in batch:
                self._count(delta)
            yield batch
        self._record()

    def _count(self, delta: Delta) -> None:
        delta.id = self.mailbox.index_of[delta.id]
        self.generated_tokens += len(delta.token_ids)
        if delta.finish_reason:
            self._reasons.append(delta.finish_reason)

    def _record(self) -> None:
        self.service.metrics.count_answer(
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self.generated_tokens,
            reasons=self._reasons,
            first_s=self.mailbox.first_token_s,
            whole_s=time.perf_counter() - self.mailbox.submitted,
        )


def begin(service: Service, wanted: Wanted, *, openings: Sequence[Delta] = ()) -> Generation:
    """Submit what is wanted. Raises ApiError 400 for more choices than the server ever takes, 429 when it is full."""
    runner = service.runner
    check_token_ids(wanted.sampling, service.ready_model().tokenizer.vocab_size)
    count = len(wanted.prompts) * wanted.n if any(wanted.budgets) else 0
    capacity = service.ready_model().engine.max_slots + runner.max_queue
    if count > capacity:
        raise ApiError(400, f"prompts times n is {count}; this server takes {capacity} at once", param="n")
    try:
        mailbox = runner.submit(engine_requests(wanted, runner.next_ids(count)) if count else [])
    except QueueFull as error:
        raise ApiError(429, f"the server is full: {error}; try again", headers={"Retry-After": "1"}) from None
    prompt_tokens = sum(len(prompt.ids) for prompt in wanted.prompts)
    return Generation(service=service, mailbox=mailbox, prompt_tokens=prompt_tokens, openings=openings)


def check_token_ids(body: Sampling, vocab_size: int) -> None:
    """Raise ApiError 400 for a token that the model does not have."""
    for name, ids in (("logit_bias", body.biases), ("stop_token_ids", body.stop_token_ids or ())):
        wrong = next((token for token in ids if token >= vocab_size), None)
        if wrong is not None:
            raise ApiError(400, f"{name}: token {wrong} is outside the vocabulary of {vocab_size}", param=name)


def gather(deltas: Sequence[Delta], count: int) -> list[Delta]:
    """One delta per choice that holds everything it gained."""
    whole = [Delta(index, token_ids=[], logprobs=[]) for index in range(count)]
    texts: list[list[str]] = [[] for _ in range(count)]
    for delta in deltas:
        target = whole[delta.id]
        texts[delta.id].append(delta.text)
        target.token_ids = [*target.token_ids, *delta.token_ids]
        target.logprobs = [*target.logprobs, *delta.logprobs]
        target.finish_reason = delta.finish_reason or target.finish_reason
    for target, pieces in zip(whole, texts, strict=True):
        target.text = "".join(pieces)
    return whole
