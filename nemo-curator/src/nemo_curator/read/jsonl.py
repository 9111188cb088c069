"""JSON lines, plain or compressed."""

import json
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from ..document import Reject
from .files import InputFile
from .records import Reading, Record, document_from_fields, record_id
from .unpack import DAMAGES, damage, open_unpacked

SPARE_BYTES = 65_536
ESCAPE_FACTOR = 6  # "\u0041" takes six bytes for one


def read(file: InputFile, reading: Reading, *, decode: Callable[[bytes], object] | None = None) -> Iterator[Record]:
    """Every line of the file; ordinals are line numbers less one, so they hold whatever else is in the file.

    `decode` takes the place of the JSON decoder, for a caller who wants to see the fields as well.
    """
    decode = decode or msgspec.json.Decoder().decode
    number = 0
    try:
        with open_unpacked(file) as lines:
            for number, line in enumerate(bounded_lines(lines, reading), 1):
                if line is None or not line.isspace():
                    yield parse_line(line, decode, file=file, number=number, reading=reading)
    except DAMAGES as error:
        reason = damage(file, error)
        place = f"{file.name}:{number + 1}"
        yield Reject(id=record_id(file, number), source=place, reason=reason, detail=f"{place}: {error}")


def bounded_lines(lines: BinaryIO, reading: Reading) -> Iterator[bytes | None]:
    """Each line; None in place of one too long to be held."""
    limit = reading.max_document_bytes * ESCAPE_FACTOR + SPARE_BYTES
    while line := lines.readline(limit):
        if len(line) < limit or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = lines.readline(limit)
        yield None


def parse_line(line: bytes | None, decode: object, *, file: InputFile, number: int, reading: Reading) -> Record:
    """The document in a line, or why there is none."""
    place = f"{file.name}:{number}"
    reject = {"id": record_id(file, number - 1), "source": place}
    if line is None:
        detail = f"{place}: the line exceeds what a document of {reading.max_document_bytes} bytes can take"
        return Reject(**reject, reason="document_too_long", detail=detail)
    try:
        value = decode(line)  # type: ignore[operator]
    except UnicodeDecodeError as error:
        text = line[:1000].decode("utf-8", "replace")
        return Reject(**reject, reason="invalid_utf8", detail=f"{place}: {error.reason}", text=text)
    except (msgspec.DecodeError, RecursionError) as error:
        text = line[:1000].decode("utf-8", "replace")
        return Reject(**reject, reason=why_no_json(line), detail=f"{place}: {error}", text=text)
    if not isinstance(value, dict):
        return Reject(**reject, reason="not_an_object", detail=f"{place}: the line holds a {type(value).__name__}")
    return document_from_fields(value, file=file, ordinal=number - 1, place=place, reading=reading)


def why_no_json(line: bytes) -> str:
    """The reason for a line that the strict decoder refuses."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return "invalid_utf8"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "not_json"
    return "lone_surrogate" if "\\ud" in text.lower() and value is not None else "not_json"
