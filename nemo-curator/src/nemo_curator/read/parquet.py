"""Parquet tables, a slice of rows at a time."""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from ..document import Reject
from .files import InputFile
from .records import Reading, Record, document_from_fields, record_id

ROWS = 256
SLICE_BYTES = 32_000_000
BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What a damaged file raises: its pages, its footer, the names of its columns."""
Fields = dict[str, object]


def read(file: InputFile, reading: Reading, *, notice: Callable[[Fields], object] = lambda _: None) -> Iterator[Record]:
    """Every row of the file; `notice` sees the fields of each before its record comes."""
    number = 0
    try:
        with file.open() as handle, pq.ParquetFile(handle) as table:
            for batch in table.iter_batches(batch_size=rows_at_a_time(table.metadata)):
                for fields in rows_of(batch):
                    yield record_of(fields, file=file, number=number, reading=reading, notice=notice)
                    number += 1
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno:
            raise  # not the content's fault
        yield damaged(file, number, "corrupt_parquet", error)


def rows_at_a_time(metadata: pq.FileMetaData) -> int:
    """As many rows as hold about SLICE_BYTES unpacked, and ROWS at most."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    longest = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=1)
    return int(min(ROWS, max(1, SLICE_BYTES // max(1, longest))))


def rows_of(batch: pa.RecordBatch) -> Iterator[Fields | ValueError]:
    """The fields of every row, or what is wrong with them: bytes that are no UTF-8, a date beyond all calendars."""
    try:
        yield from batch.to_pylist()
    except (ValueError, OverflowError):
        yield from (row_of(batch.slice(row, 1)) for row in range(batch.num_rows))


def row_of(row: pa.RecordBatch) -> Fields | ValueError:
    """The fields of one row, or what is wrong with them."""
    try:
        (fields,) = row.to_pylist()
    except (ValueError, OverflowError) as error:
        return error if isinstance(error, ValueError) else ValueError(str(error))
    return dict(fields)


def record_of(
    fields: Fields | ValueError,
    *,
    file: InputFile,
    number: int,
    reading: Reading,
    notice: Callable[[Fields], object],
) -> Record:
    """The document in one row, or why there is none."""
    if isinstance(fields, ValueError):
        reason = "invalid_utf8" if isinstance(fields, UnicodeDecodeError) else "corrupt_row"
        return damaged(file, number, reason, fields)
    notice(fields)
    place = f"{file.name}:{number + 1}"
    return document_from_fields(fields, file=file, ordinal=number, place=place, reading=reading)


def damaged(file: InputFile, number: int, reason: str, error: Exception) -> Reject:
    """The reject for a row, or for a file that cannot be read on from this row."""
    place = f"{file.name}:{number + 1}"
    return Reject(id=record_id(file, number), source=place, reason=reason, detail=f"{place}: {error}")
