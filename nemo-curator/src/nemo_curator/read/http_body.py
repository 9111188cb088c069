"""The body of an HTTP response, its transfer and content codings undone, even where they are not what its head says.

Servers declare codings that they do not use, and crawlers cut bodies off. Then what can be decoded is kept, and a body
in no coding at all is taken as it is, as browsers and warcio do.
"""

import re
import zlib
from io import BytesIO
from typing import Any, Literal

CHUNK_HEAD = re.compile(rb"\s*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
DEFLATED = ("gzip", "x-gzip", "deflate")


def message(whole: bytes) -> tuple[Any, bool]:
    """The record with its HTTP head, None where fastwarc finds none; and whether its body is still to be decoded."""
    try:
        return parse(whole, decode="all"), False
    except OSError:  # a coding that fastwarc does not know, or that is none
        return parse(whole, decode="none"), True


def parse(whole: bytes, *, decode: Literal["all", "none"]) -> Any:
    """The record of these bytes as fastwarc reads it."""
    from fastwarc.warc import ArchiveIterator

    return next(iter(ArchiveIterator(BytesIO(whole), parse_http=True, auto_decode=decode, strict_mode=False)), None)


def body_of(record: Any, whole: bytes, *, coded: bool, most: int) -> bytes:
    """At most `most` bytes of the decoded body of what `message` found; `whole` are all bytes of the record."""
    try:
        raw = bytes(record.reader.read(-1 if coded else most))
    except OSError:  # the body is not in the coding that its head declares
        raw, coded = bytes(parse(whole, decode="none").reader.read()), True
    return undone(raw, record.http_headers, most) if coded else raw


def undone(body: bytes, fields: Any, most: int) -> bytes:
    """The body decoded as far as it can be."""
    head = {name.lower(): value.lower() for name, value in fields.items()}
    if "chunked" in head.get("transfer-encoding", ""):
        body = joined(body)
    for coding in re.split(r"[\s,]+", head.get("content-encoding", ""))[::-1]:
        if coding in DEFLATED:
            body = inflated(body, most)
    return body[:most]


def joined(body: bytes) -> bytes:
    """The chunks put together, up to where they break off; a body that has none, as it is."""
    pieces, at = [], 0
    while head := CHUNK_HEAD.match(body, at):
        length = int(head[1], 16)
        if not length:
            break
        pieces.append(body[head.end() : head.end() + length])
        at = head.end() + length
    return b"".join(pieces) if pieces else body


def inflated(body: bytes, most: int) -> bytes:
    """What gzip, zlib or bare deflate data unpack to, up to `most` bytes; data that are none of these, as they are."""
    for window_bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        try:
            return zlib.decompressobj(window_bits).decompress(body, most) or body
        except zlib.error:
            continue
    return body
