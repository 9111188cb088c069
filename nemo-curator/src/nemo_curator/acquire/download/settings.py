"""How files are fetched."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, kw_only=True)
class Download:
    """Patience and politeness of a download."""

    connections: Annotated[int, Meta(ge=1, le=64, description="files fetched at once")] = 4
    attempts: Annotated[int, Meta(ge=1, description="tries of a file before it is given up for this run")] = 6
    timeout_s: Annotated[float, Meta(gt=0, description="longest silence of a server, in seconds")] = 60.0
    backoff_s: Annotated[float, Meta(ge=0, description="wait before the second try; it doubles with each")] = 1.0
    max_wait_s: Annotated[float, Meta(gt=0, description="longest wait between two tries, Retry-After included")] = 300.0
    max_bytes_per_s: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="rate limit of all connections together")
    ] = None
    max_requests_per_s: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="limit of requests begun a second")
    ] = None
    user_agent: Annotated[str, Meta(description="how the client introduces itself")] = "nemo-curator"
