"""Text of PDF files, one document each (pypdf)."""

import io
import logging
from collections.abc import Iterator
from typing import Any

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from ..document import Document, Reject, printable
from .files import InputFile
from .records import Reading, Record, record_id, text_fault

logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # a file's faults are rejects, with their place


def read(file: InputFile, reading: Reading) -> Iterator[Record]:
    """The text of all pages, a blank line between two; scanned pages have none."""
    known: dict[str, Any] = {"id": record_id(file, 0), "source": file.name}
    if file.num_bytes > reading.max_document_bytes * 10:
        yield Reject(**known, reason="document_too_long", detail=f"{file.name}: {file.num_bytes} bytes")
        return
    with file.open() as handle:
        content = handle.read()
    try:
        pdf = PdfReader(io.BytesIO(content), strict=False)
        text = printable("\n\n".join(page.extract_text().strip() for page in pdf.pages)).replace("\0", "").strip()
        title = printable(str((pdf.metadata.title if pdf.metadata else None) or ""))
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        yield Reject(**known, reason="corrupt_pdf", detail=f"{file.name}: {error}")
        return
    fault = text_fault(text, reading)
    if fault:
        yield Reject(**known, reason=fault, detail=f"{file.name}: {len(text)} characters on {len(pdf.pages)} pages")
    else:
        yield Document(**known, text=text, title=" ".join(title.split()))
