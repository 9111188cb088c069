"""A client of the chat API in the standard library: one question, streamed, timed."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nemo_core.foundation.errors import SuiteError

from .server import Endpoint

ANSWER_TIMEOUT_S = 600


class AskFailed(SuiteError):
    """The server refused the question or broke off."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer and how long it took; `finish_reason` is "stop" or "length"."""

    text: str
    finish_reason: str
    tokens: int
    first_token_s: float
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        """Rate over the whole answer; tokens may reach a client together, so parts of it would not tell."""
        return self.tokens / max(self.seconds, 1e-9)


def ask(endpoint: Endpoint, question: str, *, max_tokens: int, temperature: float, seed: int) -> Answer:
    """The model's answer to `question`."""
    body = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": question}],
        "max_completion_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return gather(stream(f"{endpoint.url}/v1/chat/completions", body))


def stream(url: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of a streamed answer. Raises AskFailed with the server's words."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as reply:  # noqa: S310 - our own loopback URL
            for line in reply:
                data = line.decode().strip().removeprefix("data: ")
                if data == "[DONE]":
                    return
                if data:
                    yield checked(json.loads(data))
    except urllib.error.HTTPError as error:
        raise AskFailed(f"{url}: {json.load(error)['error']['message']}") from None
    raise AskFailed(f"{url}: the stream broke off before its end")


def checked(event: dict[str, Any]) -> dict[str, Any]:
    """The event, unless it reports a failure."""
    if "error" in event:
        raise AskFailed(event["error"]["message"])
    return event


def gather(events: Iterator[dict[str, Any]]) -> Answer:
    """The whole answer from its events."""
    started = time.perf_counter()
    text, reason, tokens, first_s = "", "", 0, 0.0
    for event in events:
        tokens = event["usage"]["completion_tokens"] if event["usage"] else tokens
        for choice in event["choices"]:
            piece = choice["delta"].get("content", "")
            first_s = first_s or (time.perf_counter() - started if piece else 0.0)
            text += piece
            reason = choice["finish_reason"] or reason
    seconds = time.perf_counter() - started
    return Answer(text=text, finish_reason=reason, tokens=tokens, first_token_s=first_s or seconds, seconds=seconds)
