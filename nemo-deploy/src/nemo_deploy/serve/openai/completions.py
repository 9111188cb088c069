"""POST /v1/completions."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from ...engines.protocol import Delta, TokenLogprob
from ..service import Service, service_of
from .answer import send_stream, send_whole
from .generation import Wanted, begin
from .parse import ignored_warning, parse, read_body
from .prompts import Prompt, read_prompts, token_budget
from .requests import CompletionRequest
from .shapes import TextShape

DEFAULT_MAX_TOKENS = 16  # OpenAI's


async def completions(request: Request) -> Response:
    """Continue each prompt."""
    service = service_of(request)
    body, ignored = parse(await read_body(request, max_bytes=service.max_body_bytes), CompletionRequest)
    service.check_model(body.model)
    model = service.ready_model()
    prompts = await read_prompts(body.prompt, model.tokenizer)
    budgets = [
        token_budget(body.max_tokens, name="max_tokens", default=DEFAULT_MAX_TOKENS, prompt=p, engine=model.engine)
        for p in prompts
    ]
    wanted = Wanted(prompts=prompts, budgets=budgets, sampling=body, logprobs=body.logprobs)
    openings = await echoes(service, body, wanted)
    generation = begin(service, wanted, openings=openings)
    shape, count = TextShape(model.tokenizer, body.logprobs is not None), len(prompts) * wanted.n
    headers = ignored_warning(ignored)
    if body.stream:
        return send_stream(generation, shape, count=count, include_usage=body.include_usage, headers=headers)
    return await send_whole(request, generation, shape, count=count, headers=headers)


async def echoes(service: Service, body: CompletionRequest, wanted: Wanted) -> list[Delta]:
    """What each choice opens with: its prompt where `echo` asks for it, and its end where nothing is generated."""
    openings: list[Delta] = []
    for prompt, budget in zip(wanted.prompts, wanted.budgets, strict=True):
        logprobs = await prompt_logprobs(service, prompt, body.logprobs) if body.echo else []
        for _ in range(wanted.n):
            opening = Delta(len(openings), text=prompt.text if body.echo else "", logprobs=logprobs)
            opening.finish_reason = None if budget else "length"
            openings.append(opening)
    return openings if body.echo or not any(wanted.budgets) else []


async def prompt_logprobs(service: Service, prompt: Prompt, top: int | None) -> Sequence[TokenLogprob]:
    """Log-probabilities of the prompt's tokens, the first having none; empty where `top` is None."""
    if top is None:
        return []
    rest = await service.runner.score(prompt.ids, top=top) if len(prompt.ids) > 1 else []
    return [TokenLogprob(prompt.ids[0], None), *rest]
