"""Plain text files, one document each."""

from collections.abc import Iterator
from typing import Any

from ..document import Document, Reject
from .files import InputFile
from .records import Reading, Record, record_id, text_fault
from .unpack import DAMAGES, damage, open_unpacked


def read(file: InputFile, reading: Reading) -> Iterator[Record]:
    """The text that the file holds."""
    known: dict[str, Any] = {"id": record_id(file, 0), "source": file.name}
    try:
        with open_unpacked(file) as handle:
            content = handle.read(reading.max_document_bytes + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(content) <= reading.max_document_bytes:
            shown = content[:1000].decode("utf-8", "replace")
            yield Reject(
                **known, reason="invalid_utf8", detail=f"{file.name}: byte {error.start}: {error.reason}", text=shown
            )
            return
        text = content.decode("utf-8", "ignore")
    except DAMAGES as error:
        yield Reject(**known, reason=damage(file, error), detail=f"{file.name}: {error}")
        return
    fault = "document_too_long" if len(content) > reading.max_document_bytes else text_fault(text, reading)
    if fault:
        yield Reject(**known, reason=fault, detail=f"{file.name}: {len(content)} bytes or more", text=text[:1000])
    else:
        yield Document(**known, text=text)
