"""Pages in WARC files: HTML in response records, text in conversion records (WET); gzip member by member (ISO 28500).

Records are framed here, so that a damaged one is named, skipped and followed by the next; fastwarc parses each.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..document import Document, Reject
from .files import InputFile
from .html import page_fault
from .http_body import body_of, message
from .inflate import MAGIC, DamagedError, GzipStream, PlainStream
from .records import Reading, Record, record_id, text_fault

MAX_HEAD = 1 << 20
HTTP_HEAD_ROOM = 1 << 16
VERSION = re.compile(rb"WARC/(?:1\.[01]|0\.1[78])\r?\n")  # ClueWeb09 is 0.18, and has line feeds alone
HEAD_END = re.compile(rb"\r?\n\r?\n")
LINE_END = re.compile(rb"\r?\n")
BARE_HTTP_HEAD = re.compile(rb"HTTP/[^\r\n]*\n(?:[^\r\n]+\n)*\n")
LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
RESPONSE = re.compile(rb"^warc-type[ \t]*:[ \t]*(?:response|conversion)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
CONVERSION = re.compile(rb"^warc-type[ \t]*:[ \t]*conversion[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
HTML_TYPES = ("text/html", "application/xhtml+xml")


class NoRecordError(Exception):
    """The stream does not stand at a WARC record."""


@dataclass(frozen=True)
class Frame:
    """One record as bytes; `whole` is None where it is of no interest, or is longer than a document may be."""

    head: bytes
    length: int
    whole: bytes | None


def regular(head: bytes, body: bytes) -> bytes:
    """A whole record, the head of its HTTP message with the line ends that are due."""
    bare = BARE_HTTP_HEAD.match(body)
    if bare:
        body = bare[0].replace(b"\n", b"\r\n") + body[bare.end() :]
        head = LENGTH.sub(b"Content-Length: %d\r" % len(body), head)
    return head + body + b"\r\n\r\n"


class Frames:
    """Records cut out of a stream of bytes."""

    def __init__(self, stream: GzipStream | PlainStream, reading: Reading) -> None:
        self._stream, self._reading, self._held = stream, reading, b""
        self._cut_short = False

    def next(self) -> Frame | None:
        """The next record; None at the end. Raises DamagedError and NoRecordError."""
        self._skip_blank_lines()
        if not self._held:
            return None
        head = self._head()
        found = LENGTH.search(head)
        if found is None:
            raise NoRecordError("a record has no Content-Length")
        length = int(found.group(1))
        if length > len(self._held) + self._stream.left:
            raise DamagedError("truncated_record", 0)
        wanted = RESPONSE.search(head) and length <= self._reading.max_document_bytes + HTTP_HEAD_ROOM
        body = self._take(length, keep=bool(wanted))
        return Frame(head, length, regular(head, body) if wanted else None)

    def resume(self) -> bool:
        """Go on behind the damage; False where nothing follows."""
        if self._cut_short:
            self._cut_short = False
            return True
        found = VERSION.search(self._held, 1)
        if found and isinstance(self._stream, PlainStream):
            self._held = self._held[found.start() :]
            return True
        self._held = b""
        return self._stream.skip_member() or self._search_version()

    def _search_version(self) -> bool:
        if not isinstance(self._stream, PlainStream):
            return False
        while more := self._stream.read_some():
            self._held += more
            found = VERSION.search(self._held)
            if found:
                self._held = self._held[found.start() :]
                return True
            self._held = self._held[-16:]
        return False

    def _skip_blank_lines(self) -> None:
        while True:
            self._held = self._held.lstrip(b"\r\n")
            if self._held:
                return
            self._held = self._stream.read_some()
            if not self._held:
                return

    def _head(self) -> bytes:
        while (end := HEAD_END.search(self._held)) is None:
            if len(self._held) > MAX_HEAD or (len(self._held) >= 10 and not VERSION.match(self._held)):
                raise NoRecordError("no WARC record begins here")
            more = self._stream.read_some()
            if not more:
                raise NoRecordError("the file ends within a record's head")
            self._held += more
        if not VERSION.match(self._held):
            raise NoRecordError("no WARC record begins here")
        head, self._held = self._held[: end.start()], self._held[end.end() :]
        return LINE_END.sub(b"\r\n", head) + b"\r\n\r\n"

    def _take(self, length: int, *, keep: bool) -> bytes:
        parts, missing = [], length
        while missing:
            if not self._held:
                between = self._stream.between_members
                self._held = self._stream.read_some()
                self._cut_short = between and VERSION.match(self._held) is not None
                if self._cut_short or not self._held:
                    raise DamagedError("truncated_record", 0)
            piece, self._held = self._held[:missing], self._held[missing:]
            missing -= len(piece)
            if keep:
                parts.append(piece)
        return b"".join(parts)


def read(file: InputFile, reading: Reading) -> Iterator[Record]:
    """Every response record of the file that holds HTML; ordinals count all records."""
    with file.open() as handle:
        frames = Frames(stream_of(file, handle), reading)
        ordinal = 0
        while True:
            try:
                frame = frames.next()
            except (DamagedError, NoRecordError) as error:
                yield damaged(file, ordinal, error)
                ordinal += 1
                if not frames.resume():
                    return
                continue
            if frame is None:
                return
            record = page(frame, file=file, ordinal=ordinal, reading=reading)
            ordinal += 1
            if record is not None:
                yield record


def stream_of(file: InputFile, handle: BinaryIO) -> GzipStream | PlainStream:
    """The file's bytes, unpacked; how it begins says more than its name, as transfers unpack what they bring."""
    beginning = handle.read(len(b"WARC/"))
    handle.seek(0)
    named = file.name.lower().endswith(".gz") and beginning != b"WARC/"
    return GzipStream(handle) if named or beginning.startswith(MAGIC) else PlainStream(handle, file.num_bytes)


def damaged(file: InputFile, ordinal: int, error: DamagedError | NoRecordError) -> Reject:
    """The reject for a record that cannot be read."""
    reason = error.reason if isinstance(error, DamagedError) else "not_a_warc_record"
    place = f"{file.name}:{ordinal + 1}"
    return Reject(id=record_id(file, ordinal), source=place, reason=reason, detail=f"{place}: {error}")


def page(frame: Frame, *, file: InputFile, ordinal: int, reading: Reading) -> Record | None:
    """The page in a record; None where it is no response or holds no HTML."""
    if not RESPONSE.search(frame.head):
        return None
    place = f"{file.name}:{ordinal + 1}"
    common = {"id": record_id(file, ordinal), "source": place}
    if frame.whole is None:
        return Reject(**common, reason="document_too_long", detail=f"{place}: {frame.length} bytes")
    if CONVERSION.search(frame.head):
        return converted(frame, common, reading)
    record, coded = message(frame.whole)
    if record is None or not record.is_http:
        return Reject(**common, reason="not_http", detail=f"{place}: the response holds no HTTP message")
    if content_type(record) not in HTML_TYPES:
        return None
    url = record.headers.get("WARC-Target-URI") or ""
    status = record.http_headers.status_code or 200
    if not 200 <= status < 300:
        return Reject(**common, reason="http_error", detail=f"{place}: status {status}", url=url)
    most = reading.max_document_bytes + 1  # a small body can unpack to any length
    html = body_of(record, frame.whole, coded=coded, most=most)
    charset = (record.http_charset or "").strip("\"' ")
    too_long = len(html) > reading.max_document_bytes
    fault = "document_too_long" if too_long else page_fault(html, charset)
    if fault:
        return Reject(**common, reason=fault, detail=f"{place}: {len(html)} bytes{' or more' * too_long}", url=url)
    return Document(**common, url=url.strip("<>"), source_id=record.record_id or "", html=html, charset=charset)


def content_type(record: Any) -> str:
    """What the crawler found the body to be (Common Crawl says so), else what the server said, else HTML."""
    found = record.headers.get("WARC-Identified-Payload-Type") or record.http_content_type or "text/html"
    return re.split(r"[;,\s]", found.strip(), maxsplit=1)[0].lower()


def converted(frame: Frame, common: dict[str, str], reading: Reading) -> Record:
    """The text in a conversion record; a Reject where it is of no use."""
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in frame.head.decode("utf-8", "replace").splitlines())
    }
    known: dict[str, Any] = {
        **common,
        "url": fields.get("warc-target-uri", ""),
        "source_id": fields.get("warc-record-id", ""),
    }
    body = (frame.whole or b"")[len(frame.head) : -len(b"\r\n\r\n")]
    try:
        text = body.decode("utf-8").strip("\r\n")
    except UnicodeDecodeError as error:
        shown = body[:1000].decode("utf-8", "replace")
        return Reject(**known, reason="invalid_utf8", detail=f"{common['source']}: {error.reason}", text=shown)
    fault = text_fault(text, reading)
    if fault:
        return Reject(**known, reason=fault, detail=f"{common['source']}: {len(text)} characters", text=text[:1000])
    return Document(**known, text=text)
