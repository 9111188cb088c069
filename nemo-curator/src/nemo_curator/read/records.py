"""Documents and rejects of any input file, as they stream by."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ..document import Document, Reject, printable
from ..foundation.backend import Backend, load_backend
from ..foundation.errors import RetryableError
from .files import InputFile, offered_formats

Record = Document | Reject
UNREADABLE = (PermissionError, FileNotFoundError, IsADirectoryError, NotADirectoryError)
EXTRAS = {"mediawiki": "wikipedia", "pdf": "pdf"}
OWN_FIELDS = ("language", "language_score", "source", "source_id", "metadata")  # columns that a run writes itself


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How records are read."""

    text_field: Annotated[str, Meta(description="JSONL or Parquet field that holds the text")] = "text"
    id_field: Annotated[str, Meta(description="field of your own ids, kept as source_id")] = "id"
    max_document_bytes: Annotated[int, Meta(ge=1, description="larger documents are rejected")] = 10_000_000
    keep_fields: Annotated[bool, Meta(description="keep your other fields, as JSON in the column metadata")] = True


def record_id(file: InputFile, ordinal: int) -> str:
    """The stable id of a record: its file's name in the input and its number in the file, from 0."""
    return f"{file.name}#{ordinal:08d}"


def read_file(file: InputFile, reading: Reading) -> Iterator[Record]:
    """Every record of `file`, in order; what is damaged comes as a Reject and the rest follows."""
    if file.num_bytes == 0:
        return iter([file_fault(file, 0, "empty_file", "holds no byte")])
    return guarded(reader(file.format)(file, reading), file)


def guarded(records: Iterator[Record], file: InputFile) -> Iterator[Record]:
    """The records of a file; behind them a Reject where it cannot be opened, or was changed meanwhile.

    Raises RetryableError where the file system fails.
    """
    following = 0
    try:
        for record in records:
            following = int(record.id.rpartition("#")[2]) + 1
            yield record
    except UNREADABLE as error:
        yield file_fault(file, following, "unreadable_file", f"{error.strerror}")
        return
    except OSError as error:
        raise RetryableError(
            f"{file.path}: cannot be read ({error}); run the same command again to continue"
        ) from error
    if file.changed:
        detail = f"its {file.num_bytes} bytes were changed while it was read; run again once nothing writes to it"
        yield file_fault(file, following, "changed_while_read", detail)


def file_fault(file: InputFile, ordinal: int, reason: str, detail: str) -> Reject:
    """The reject for a file as a whole, numbered behind its records."""
    return Reject(id=record_id(file, ordinal), source=file.name, reason=reason, detail=f"{file.name}: {detail}")


def reader(format: str) -> Callable[[InputFile, Reading], Iterator[Record]]:
    """The function that reads a format; one that begins with a dot is another package's."""
    offered = offered_formats()
    found: Callable[[InputFile, Reading], Iterator[Record]]
    if format in offered:
        found = offered[format].load()
    else:
        where = Backend(module=f"{__package__}.{format}", extra=EXTRAS.get(format))
        found = load_backend("input format", format, {format: where}, package="nemo-curator").read
    return found


def document_from_fields(
    fields: dict[str, object], *, file: InputFile, ordinal: int, place: str, reading: Reading
) -> Record:
    """The document in a JSON object or a Parquet row; a Reject where its text cannot be used."""
    own_id = fields.get(reading.id_field)
    common: dict[str, Any] = {
        "id": record_id(file, ordinal),
        "source": place,
        "source_id": "" if own_id is None else str(own_id),
        "url": text_or_empty(fields.get("url")),
    }
    text = fields.get(reading.text_field)
    if text is None:
        known = ", ".join(sorted(fields)[:8]) or "none"
        reason = "missing_text" if reading.text_field not in fields else "text_is_null"
        return Reject(**common, reason=reason, detail=f"{place}: no {reading.text_field!r}; its fields: {known}")
    if not isinstance(text, str):
        detail = f"{place}: {reading.text_field!r} is {type(text).__name__}"
        return Reject(**common, reason="text_not_a_string", detail=detail)
    fault = text_fault(text, reading)
    if fault:
        return Reject(**common, reason=fault, detail=f"{place}: {len(text)} characters", text=text[:1000])
    metadata = other_fields(fields, reading) if reading.keep_fields else ""
    return Document(**common, text=text, title=text_or_empty(fields.get("title")), metadata=metadata)


def other_fields(fields: dict[str, object], reading: Reading) -> str:
    """What else a row holds, as a JSON object; "" where there is nothing."""
    known = {reading.text_field, reading.id_field, "url", "title", *OWN_FIELDS}
    others = {name: value for name, value in fields.items() if name not in known}
    kept = fields.get("metadata")
    if isinstance(kept, str) and not others:
        return text_or_empty(kept)
    if "metadata" in fields and kept not in (None, ""):
        others["metadata"] = kept
    return printable(msgspec.json.encode(others, enc_hook=str).decode("utf-8", "replace")) if others else ""


def text_fault(text: str, reading: Reading) -> str | None:
    """Why a text cannot be used; None where it can."""
    if not text or text.isspace():
        return "empty_text"
    if len(text) > reading.max_document_bytes:
        return "document_too_long"
    if "\0" in text:
        return "nul_character"
    try:
        num_bytes = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        return "lone_surrogate"
    return "document_too_long" if num_bytes > reading.max_document_bytes else None


def text_or_empty(value: object) -> str:
    """A string field that need not be there."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
