"""Which endpoint is asked, how hard, and how answers are drawn."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An OpenAI-compatible server and how it is asked."""

    base_url: Annotated[
        str, Meta(pattern="^https?://", description="address before /chat/completions, as https://host/v1")
    ]
    model: Annotated[str, Meta(min_length=1, description="name of the model there")]
    api_key_variable: Annotated[str, Meta(description="environment variable that holds the key, if one is needed")] = (
        "OPENAI_API_KEY"
    )
    connections: Annotated[int, Meta(ge=1, le=1000, description="requests under way at once")] = 8
    max_requests_per_min: Annotated[Annotated[float, Meta(gt=0)] | None, Meta(description="rate limit")] = None
    timeout_s: Annotated[float, Meta(gt=0, description="longest wait for an answer")] = 120.0
    attempts: Annotated[int, Meta(ge=1, description="tries of a request before the run stops, to be continued")] = 6
    backoff_s: Annotated[float, Meta(ge=0, description="wait before the second try; it doubles with each")] = 1.0
    max_wait_s: Annotated[float, Meta(ge=0, description="longest wait between tries, Retry-After included")] = 60.0


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How an answer is drawn."""

    temperature: Annotated[float, Meta(ge=0, le=2, description="0 is the likeliest answer")] = 0.7
    top_p: Annotated[float, Meta(gt=0, le=1, description="share of the likeliest tokens drawn from")] = 0.95
    max_tokens: Annotated[int, Meta(ge=1, description="longest answer")] = 1024
    seed: Annotated[
        int, Meta(ge=0, description="seed handed to the endpoint; samples of one prompt add their number")
    ] = 0
