"""HTML files, one document each."""

from collections.abc import Iterator

from ..document import Document, Reject
from .files import InputFile
from .records import Reading, Record, record_id

SNIFFED_BYTES = 1024
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read(file: InputFile, reading: Reading) -> Iterator[Record]:
    """The page that the file is."""
    if file.num_bytes > reading.max_document_bytes:
        fault: str | None = "document_too_long"
        html = b""
    else:
        with file.open() as handle:
            html = handle.read()
        fault = page_fault(html)
    if fault:
        detail = f"{file.name}: {file.num_bytes} bytes"
        yield Reject(id=record_id(file, 0), source=file.name, reason=fault, detail=detail)
    else:
        yield Document(id=record_id(file, 0), source=file.name, html=html)


def page_fault(html: bytes, charset: str = "") -> str | None:
    """Why bytes cannot be a page; None where they can. `charset` is what the server declared."""
    if not html.strip():
        return "empty_text"
    wide = html.startswith(UTF16) or charset.lower().startswith("utf-16")
    if b"\0" in html[:SNIFFED_BYTES] and not wide:
        return "binary_content"
    return None
