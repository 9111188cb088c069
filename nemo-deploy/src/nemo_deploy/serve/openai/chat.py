"""POST /v1/chat/completions."""

from starlette.requests import Request
from starlette.responses import Response

from ..errors import ApiError
from ..service import service_of
from .answer import send_stream, send_whole
from .generation import Wanted, begin
from .parse import ignored_warning, parse, read_body
from .prompts import chat_prompt, token_budget
from .requests import ChatRequest
from .shapes import ChatShape


async def chat_completions(request: Request) -> Response:
    """Answer the last message of a conversation."""
    service = service_of(request)
    body, ignored = parse(await read_body(request, max_bytes=service.max_body_bytes), ChatRequest)
    service.check_model(body.model)
    logprobs = wanted_logprobs(body)
    model = service.ready_model()
    prompt = await chat_prompt(body.messages, model.tokenizer)
    name, asked = asked_tokens(body)
    budget = token_budget(asked, name=name, default=None, prompt=prompt, engine=model.engine)
    wanted = Wanted(prompts=[prompt], budgets=[budget], sampling=body, logprobs=logprobs)
    generation = begin(service, wanted)
    shape, headers = ChatShape(model.tokenizer, logprobs is not None), ignored_warning(ignored)
    if body.stream:
        return send_stream(generation, shape, count=wanted.n, include_usage=body.include_usage, headers=headers)
    return await send_whole(request, generation, shape, count=wanted.n, headers=headers)


def asked_tokens(body: ChatRequest) -> tuple[str, int | None]:
    """The limit on the answer and the field it came from; the newer of the two names goes first."""
    if body.max_completion_tokens is not None:
        name, value = "max_completion_tokens", body.max_completion_tokens
    elif body.max_tokens is not None:
        name, value = "max_tokens", body.max_tokens
    else:
        return "max_completion_tokens", None
    if value < 1:
        raise ApiError(400, f"{name}: expected int >= 1", param=name)
    return name, value


def wanted_logprobs(body: ChatRequest) -> int | None:
    """Number of alternatives, None for no log-probabilities. Raises ApiError 400 for alternatives alone."""
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs: needs logprobs=true", param="top_logprobs")
    return (body.top_logprobs or 0) if body.logprobs else None
