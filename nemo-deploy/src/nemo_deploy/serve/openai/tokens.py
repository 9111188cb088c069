"""POST /tokenize and /detokenize, GET /tokenizer_info: what lm-eval and vLLM's clients ask for."""

from starlette.requests import Request
from starlette.responses import Response

from ..errors import ApiError
from ..reply import json_reply
from ..service import service_of
from .parse import ignored_warning, parse, read_body
from .prompts import chat_prompt, text_prompt, token_prompt
from .requests import DetokenizeRequest, TokenizeRequest


async def tokenize(request: Request) -> Response:
    """Token ids of a text or a conversation."""
    service = service_of(request)
    body, ignored = parse(await read_body(request, max_bytes=service.max_body_bytes), TokenizeRequest)
    service.check_model(body.model)
    model = service.ready_model()
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "prompt: give either prompt or messages", param="prompt")
    if body.messages is not None:
        ids = (await chat_prompt(body.messages, model.tokenizer, answer=body.add_generation_prompt)).ids
    else:
        ids = (await text_prompt(body.prompt or "", model.tokenizer)).ids if body.prompt else ()
    answer = {"tokens": ids, "count": len(ids), "max_model_len": model.engine.max_length}
    return json_reply(answer, headers=ignored_warning(ignored))


async def detokenize(request: Request) -> Response:
    """Text of token ids."""
    service = service_of(request)
    body, ignored = parse(await read_body(request, max_bytes=service.max_body_bytes), DetokenizeRequest)
    service.check_model(body.model)
    tokenizer = service.ready_model().tokenizer
    text = token_prompt(body.tokens, tokenizer, name="tokens").text if body.tokens else ""
    return json_reply({"prompt": text}, headers=ignored_warning(ignored))


async def tokenizer_info(request: Request) -> Response:
    """The tokenizer's special tokens, size and chat template."""
    model = service_of(request).ready_model()
    return json_reply(dict(model.tokenizer_info))
