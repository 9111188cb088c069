"""One request, and what its reply means: pure functions."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...foundation.settings import to_plain
from .settings import Endpoint, Sampling

Message = dict[str, str]
BUSY = (408, 409, 425, 429, 500, 502, 503, 504, 529)
WRONG_ENDPOINT = {401: "the key is refused", 403: "access is refused", 404: "no such address or model"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """Messages to be answered; `number` tells the samples of one prompt apart."""

    messages: tuple[tuple[str, str], ...]
    model: str
    sampling: Sampling
    number: int = 0

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON that is posted."""
        drawn = to_plain(self.sampling)
        drawn["seed"] += self.number
        return {"model": self.model, "messages": [{"role": r, "content": c} for r, c in self.messages], **drawn}

    @cached_property
    def id(self) -> str:
        """Identity: equal for equal requests, on every machine and in every run."""
        return hashlib.blake2b(json.dumps(self.body, sort_keys=True).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; `fault` names why it cannot be used."""

    text: str = ""
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A reply as it came, or why none did (`lost`)."""

    status: int = 0
    body: bytes = b""
    retry_after: str = ""
    lost: str = ""


@dataclass(frozen=True, kw_only=True)
class Again:
    """The same request has to be made again, for a reason, not before some seconds."""

    reason: str
    wait_s: float


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """No request to this endpoint can succeed."""

    reason: str


def understand(reply: Reply) -> Answer | Again | Wrong:
    """What a reply means."""
    if reply.lost:
        return Again(reason=reply.lost, wait_s=0)
    if reply.status in WRONG_ENDPOINT:
        return Wrong(reason=f"{WRONG_ENDPOINT[reply.status]} (HTTP {reply.status}: {excerpt(reply.body)})")
    if reply.status in BUSY or reply.status >= 500:
        return Again(reason=f"HTTP {reply.status}", wait_s=seconds(reply.retry_after))
    if reply.status != 200:
        return Answer(fault=f"refused_{reply.status}", text=excerpt(reply.body))
    return content(reply.body)


def content(body: bytes) -> Answer | Again:
    """The text in the JSON of an answer."""
    try:
        choice = json.loads(body)["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return Again(reason=f"a broken answer: {excerpt(body)!r}", wait_s=0)
    if choice.get("finish_reason") == "length":
        return Answer(text=text or "", fault="cut_off")
    if not isinstance(text, str) or not text.strip():
        return Answer(fault="empty_answer")
    return Answer(text=text.strip())


def seconds(retry_after: str) -> float:
    """A Retry-After header in seconds; a date or nothing counts as 0."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return 0.0


def excerpt(body: bytes) -> str:
    """The beginning of a body, on one line."""
    return " ".join(body[:300].decode("utf-8", "replace").split())


def wait_s(endpoint: Endpoint, attempt: int, asked: float) -> float:
    """Seconds before the next try: doubled with each, or what the server asks for, up to the longest wait."""
    return min(endpoint.max_wait_s, max(asked, endpoint.backoff_s * float(2**attempt)))


def answer_from(plain: Mapping[str, str]) -> Answer:
    """An answer as the journal has it."""
    return Answer(text=plain["text"], fault=plain["fault"])
