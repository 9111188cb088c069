"""JSON responses, encoded by msgspec."""

from typing import Any

import msgspec
from starlette.responses import Response

encode = msgspec.json.Encoder().encode


def json_reply(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response with `body` (plain values or msgspec structs) as JSON."""
    return Response(encode(body), status_code=status, headers=headers, media_type="application/json")
