"""Arrow string columns as the flat buffers that kernels read."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]


PIECE_BYTES = 2_000_000


def pieces(column: pa.Array | pa.ChunkedArray) -> Iterator[tuple[Bytes, Offsets]]:
    """The buffers of the column's rows in order, about PIECE_BYTES of text at a time: a bound on what kernels take."""
    data, offsets = buffers(column)
    first = 0
    while first < len(offsets) - 1:
        last = int(np.searchsorted(offsets, offsets[first] + PIECE_BYTES, side="right")) - 1
        last = min(max(last, first + 1), len(offsets) - 1)
        yield data, offsets[first : last + 1]
        first = last


def buffers(column: pa.Array | pa.ChunkedArray) -> tuple[Bytes, Offsets]:
    """UTF-8 bytes of a string column and the N+1 offsets of its N rows, without copying the bytes.

    Nulls count as empty strings.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], pa.string())
    if array.null_count:
        array = array.fill_null("")
    width = np.int64 if pa.types.is_large_string(array.type) else np.int32
    _, raw_offsets, raw_data = array.buffers()
    if len(array) == 0 or raw_offsets is None:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    offsets = np.frombuffer(raw_offsets, width)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    data = np.frombuffer(raw_data, np.uint8) if raw_data is not None and raw_data.size else np.zeros(0, np.uint8)
    return data, offsets
