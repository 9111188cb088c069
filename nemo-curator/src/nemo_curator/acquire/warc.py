"""Pages packed as WARC 1.1 response records, one gzip member each (ISO 28500), the same bytes every time."""

import gzip
import hashlib
import uuid
from collections.abc import Iterable
from typing import IO

from .pages import Page

DATE = "2000-01-01T00:00:00Z"  # fixed: the pages of one Python are the same at every hour


def write(handle: IO[bytes], pages: Iterable[Page]) -> int:
    """Append every page; their number."""
    count = 0
    for page in pages:
        handle.write(gzip.compress(record(page), compresslevel=6, mtime=0))
        count += 1
    return count


def record(page: Page) -> bytes:
    """A response record."""
    body = page.html.encode("utf-8", "replace")
    message = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    head = (
        "WARC/1.1\r\n"
        "WARC-Type: response\r\n"
        f"WARC-Record-ID: <urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, page.url)}>\r\n"
        f"WARC-Target-URI: {page.url}\r\n"
        f"WARC-Date: {DATE}\r\n"
        f"WARC-Payload-Digest: sha256:{hashlib.sha256(body).hexdigest()}\r\n"
        "Content-Type: application/http;msgtype=response\r\n"
        f"Content-Length: {len(message)}\r\n\r\n"
    )
    return head.encode() + message + b"\r\n\r\n"
