"""Bodies that the OpenAI routes answer with."""

import time
import uuid
from typing import Literal

from msgspec import Struct, field


class Usage(Struct):
    """Token counts of one request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, prompt_tokens: int, completion_tokens: int) -> "Usage":
        """Counts with their sum."""
        return cls(prompt_tokens, completion_tokens, prompt_tokens + completion_tokens)


class TextLogprobs(Struct):
    """Log-probabilities of a text completion: parallel lists, null where a first token has none."""

    tokens: list[str] = field(default_factory=list)
    token_logprobs: list[float | None] = field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = field(default_factory=list)
    text_offset: list[int] = field(default_factory=list)


class TextChoice(Struct):
    """One completion, or a piece of it in a stream."""

    index: int
    text: str
    logprobs: TextLogprobs | None = None
    finish_reason: str | None = None


class Alternative(Struct):
    """A token that could have been chosen."""

    token: str
    logprob: float
    bytes: list[int]


class TokenChoice(Struct):
    """The chosen token and its alternatives."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[Alternative]


class ChatLogprobs(Struct):
    """Log-probabilities of a chat answer."""

    content: list[TokenChoice]
    refusal: None = None


class AnswerMessage(Struct):
    """The assistant's turn."""

    content: str
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class ChatChoice(Struct):
    """One answer."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None


class MessageDelta(Struct, omit_defaults=True):
    """What a stream adds to the assistant's turn."""

    role: str | None = None
    content: str | None = None


class ChatDelta(Struct):
    """A piece of one answer in a stream."""

    index: int
    delta: MessageDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None


Choice = TextChoice | ChatChoice | ChatDelta
ObjectName = Literal["text_completion", "chat.completion", "chat.completion.chunk"]


class Reply(Struct):
    """The envelope of every completion and of every chunk of a stream."""

    id: str
    object: ObjectName
    created: int
    model: str
    choices: list[TextChoice] | list[ChatChoice] | list[ChatDelta]
    usage: Usage | None = None
    system_fingerprint: str | None = None


def new_id(prefix: str) -> str:
    """An id no other reply has."""
    return f"{prefix}-{uuid.uuid4().hex}"


def now() -> int:
    """Unix time in seconds."""
    return int(time.time())
