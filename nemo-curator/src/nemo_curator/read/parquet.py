"""Parquet tables, a slice of rows at a time."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from ..document import Reject
from .files import InputFile
from .records import Reading, Record, document_from_fields, record_id

ROWS = 256


def read(file: InputFile, reading: Reading) -> Iterator[Record]:
    """Every row of the file."""
    number = 0
    try:
        with file.open() as handle, pq.ParquetFile(handle) as table:
            for batch in table.iter_batches(batch_size=ROWS):
                for row in range(batch.num_rows):
                    yield read_row(batch.slice(row, 1), file=file, number=number, reading=reading)
                    number += 1
    except (pa.ArrowInvalid, OSError) as error:
        yield damaged(file, number, "corrupt_parquet", error)


def read_row(row: pa.RecordBatch, *, file: InputFile, number: int, reading: Reading) -> Record:
    """The document in one row, or why there is none."""
    try:
        (fields,) = row.to_pylist()
    except UnicodeDecodeError as error:
        return damaged(file, number, "invalid_utf8", error)
    place = f"{file.name}:{number + 1}"
    return document_from_fields(fields, file=file, ordinal=number, place=place, reading=reading)


def damaged(file: InputFile, number: int, reason: str, error: Exception) -> Reject:
    """The reject for a file that cannot be read on from this row."""
    place = f"{file.name}:{number + 1}"
    return Reject(id=record_id(file, number), source=place, reason=reason, detail=f"{place}: {error}")
