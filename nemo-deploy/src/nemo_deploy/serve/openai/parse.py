"""From the bytes of a request to a checked struct, with errors that name the place."""

import re
from typing import TypeVar

import msgspec
from starlette.requests import Request

from ..errors import ApiError

Body = TypeVar("Body", bound=msgspec.Struct)
POSITION = re.compile(r"\(byte (\d+)\)$")
MAX_NAMES_SHOWN = 20


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """The whole body. Raises ApiError 413 as soon as it is known to be larger than `max_bytes`."""
    announced = request.headers.get("content-length", "")
    too_large = ApiError(413, f"the body is larger than the {max_bytes} bytes accepted here (max_body_bytes)")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)


def parse(body: bytes, kind: type[Body]) -> tuple[Body, list[str]]:
    """The struct in `body` and the names of fields that it does not know. Raises ApiError 400."""
    values = decode(body)
    try:
        parsed = msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise invalid_field(str(error)) from None
    known = set(kind.__struct_fields__)
    return parsed, [name for name in values if name not in known]


def decode(body: bytes) -> dict[str, object]:
    """The JSON object in `body`. Raises ApiError 400 naming line and column of the first fault."""
    try:
        values = msgspec.json.decode(body)
    except UnicodeDecodeError:
        raise not_json(body, first_bad_byte(body), "not UTF-8") from None
    except RecursionError:
        raise ApiError(400, "the body is nested too deeply to be a request") from None
    except msgspec.DecodeError as error:
        found = POSITION.search(str(error))
        reason = POSITION.sub("", str(error)).removeprefix("JSON is malformed:").strip()
        raise not_json(body, int(found[1]) if found else len(body), reason) from None
    if not isinstance(values, dict):
        raise ApiError(400, f"the body is a JSON {type(values).__name__}; an object with fields is expected")
    return values


def first_bad_byte(body: bytes) -> int:
    """Offset of the first byte that is not UTF-8 (the length where all are)."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return len(body)


def not_json(body: bytes, offset: int, reason: str) -> ApiError:
    """The 400 for malformed JSON at byte `offset`."""
    before = body[:offset]
    line, column = before.count(b"\n") + 1, offset - (before.rfind(b"\n") + 1) + 1
    return ApiError(400, f"the body is not valid JSON: {reason} at line {line}, column {column} (byte {offset})")


def invalid_field(message: str) -> ApiError:
    """The 400 for a message of msgspec's such as ``Expected `int`, got `str` - at `$.max_tokens```."""
    text, _, path = message.partition(" - at `$")
    param = path.rstrip("`").removeprefix(".") or None
    if text.startswith("Object missing required field"):
        missing = text.split("`")[1]
        param = f"{param}.{missing}" if param else missing
        return ApiError(400, f"{param}: is required", param=param)
    sentence = text.replace("`", "").replace(" | null", "")
    return ApiError(400, f"{param}: {sentence[0].lower()}{sentence[1:]}" if param else sentence, param=param)


def ignored_warning(names: list[str]) -> dict[str, str]:
    """The response header that lists ignored fields; empty where there are none."""
    if not names:
        return {}
    shown = ", ".join(re.sub(r"[^\w.-]", "?", name, flags=re.ASCII)[:60] for name in names[:MAX_NAMES_SHOWN])
    return {"Warning": f'299 nemo-deploy "ignored fields: {shown}"'}
