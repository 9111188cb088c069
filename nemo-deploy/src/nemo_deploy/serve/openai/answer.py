"""Send a generation's answer: whole, or as server-sent events while it grows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nemo_core.foundation.errors import SuiteError

from ...engines.mailbox import Mailbox
from ...engines.protocol import Delta
from ..errors import ApiError
from ..reply import encode, json_reply
from .generation import Generation, gather
from .replies import Reply, Usage, new_id, now
from .shapes import Piece, Shape, Whole

STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
DONE = b"data: [DONE]\n\n"


class Envelope:
    """What all chunks of one answer have in common."""

    def __init__(self, shape: Shape, model: str) -> None:
        self.shape, self.model, self.id, self.created = shape, model, new_id(shape.id_prefix), now()

    def whole(self, choices: Sequence[Whole], usage: Usage) -> Reply:
        """A complete reply."""
        return Reply(self.id, self.shape.whole_name, self.created, self.model, list(choices), usage)  # type: ignore[arg-type]

    def event(self, choices: Sequence[Piece], usage: Usage | None = None) -> bytes:
        """One server-sent event."""
        reply = Reply(self.id, self.shape.piece_name, self.created, self.model, list(choices), usage)  # type: ignore[arg-type]
        return b"data: " + encode(reply) + b"\n\n"


async def send_whole(
    request: Request, generation: Generation, shape: Shape, *, count: int, headers: dict[str, str]
) -> Response:
    """The complete reply; generation ends early where the client goes away."""
    deltas: list[Delta] = []
    try:
        async with watched(request, generation.mailbox):
            async for batch in generation.batches():
                deltas += batch
    except SuiteError as error:
        raise ApiError(500, str(error)) from error
    envelope = Envelope(shape, generation.service.model_name)
    usage = Usage.of(generation.prompt_tokens, generation.generated_tokens)
    return json_reply(envelope.whole([shape.whole(d) for d in gather(deltas, count)], usage), headers=headers)


@contextlib.asynccontextmanager
async def watched(request: Request, mailbox: Mailbox) -> AsyncIterator[None]:
    """Close `mailbox` when the client disconnects, and at the end of the block."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue
        mailbox.close()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        mailbox.close()


def send_stream(
    generation: Generation, shape: Shape, *, count: int, include_usage: bool, headers: dict[str, str]
) -> Response:
    """Events as tokens come, ending with ``[DONE]``; a client that goes away ends the generation."""
    return StreamingResponse(
        events(generation, shape, count=count, include_usage=include_usage),
        media_type="text/event-stream",
        headers={**STREAM_HEADERS, **headers},
    )


async def events(generation: Generation, shape: Shape, *, count: int, include_usage: bool) -> AsyncIterator[bytes]:
    """The bytes of the stream; all that is there at once goes out in one piece."""
    envelope = Envelope(shape, generation.service.model_name)
    try:
        openings = [shape.opening(index) for index in range(count)]
        yield b"".join(envelope.event([opening]) for opening in openings if opening is not None)
        async for batch in generation.batches():
            yield b"".join(envelope.event([shape.piece(delta)]) for delta in batch if says_something(delta))
        if include_usage:
            yield envelope.event([], Usage.of(generation.prompt_tokens, generation.generated_tokens))
        yield DONE
    except SuiteError as error:
        yield b"data: " + encode(ApiError(500, str(error)).body()) + b"\n\n"
    finally:
        generation.mailbox.close()


def says_something(delta: Delta) -> bool:
    """Whether a client should see it: tokens of an unfinished character have no text yet."""
    return bool(delta.text or delta.logprobs or delta.finish_reason)
