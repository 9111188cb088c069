"""Continue many prompts at once and wait for all of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..model.decoder import Decoder
from ..peft.adapter import prefix_ids
from ..tokenizer.load import Tokenizer
from .engine import Engine
from .request import Completion, Delta, Request, SamplingParams


def generate(
    model: Decoder,
    tokenizer: Tokenizer | None,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingParams | Sequence[SamplingParams],
    *,
    max_slots: int = 64,
    on_finish: Callable[[int], None] = lambda index: None,
) -> list[Completion]:
    """One completion per prompt, in order; `sampling` is shared or one for each.

    A shared seed is spread: prompt i uses seed + i, so that equal prompts get different answers. Equal prompts are read
    once. The virtual tokens of an active prompt adapter are put before each. Raises InputError for a prompt that cannot
    be continued, as `Engine.add` does.
    """
    if isinstance(sampling, SamplingParams):
        own = [spread(sampling, index) for index in range(len(prompts))]
    else:
        own = list(sampling)
    prefix = prefix_ids(model)
    longest = max((len(p) + s.max_tokens for p, s in zip(prompts, own, strict=True)), default=None)
    engine = Engine(
        model,
        tokenizer,
        max_slots=max(1, min(max_slots, len(prompts))),
        max_length=None if longest is None else len(prefix) + longest,
        stream_text=False,
    )
    for index, prompt in enumerate(prompts):
        engine.add(Request(id=index, prompt_ids=[*prefix, *prompt], sampling=own[index]))
    parts: list[list[Delta]] = [[] for _ in prompts]
    while engine.has_work:
        for delta in engine.step():
            parts[int(delta.id)].append(delta)
            if delta.finish_reason is not None:
                on_finish(int(delta.id))
    return [join(list(prompt), deltas) for prompt, deltas in zip(prompts, parts)]


def spread(sampling: SamplingParams, index: int) -> SamplingParams:
    """The same parameters with the seed of prompt `index`."""
    return sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + index)


def join(prompt_ids: list[int], deltas: Sequence[Delta]) -> Completion:
    """All deltas of one request as a completion."""
    reason = deltas[-1].finish_reason
    if reason is None:
        raise ValueError("the request has not finished")
    return Completion(
        prompt_ids=prompt_ids,
        token_ids=[token for delta in deltas for token in delta.token_ids],
        logprobs=[logprob for delta in deltas for logprob in delta.logprobs],
        text="".join(delta.text for delta in deltas),
        finish_reason=reason,
        top_logprobs=[top for delta in deltas for top in delta.top_logprobs],
        prompt_logprobs=deltas[0].prompt_logprobs,
    )
