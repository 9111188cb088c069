"""Deduplication keys on disk: per shard one array whose rows are bands and whose last row is text lengths."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..foundation.atomic import atomic_file

Keys = npt.NDArray[np.uint64]


def with_lengths(keys: Keys, documents: pa.Table) -> Keys:
    """`keys` and below them the UTF-8 length of each document."""
    lengths = pc.binary_length(documents["text"]).combine_chunks().to_numpy(zero_copy_only=False)
    return np.vstack([keys, lengths.astype(np.uint64)[None, :]])


def write(path: Path, batches: Sequence[Keys], *, rows: int) -> None:
    """Write the keys of a shard; `rows` is their number of bands and 1, for a shard without documents."""
    whole = np.hstack(batches) if batches else np.zeros((rows, 0), np.uint64)
    with atomic_file(path) as handle:
        np.save(handle, np.ascontiguousarray(whole), allow_pickle=False)


def num_rows(files: Sequence[Path]) -> int:
    """Bands and 1."""
    return int(np.load(files[0], mmap_mode="r").shape[0]) if files else 1


def read_rows(files: Sequence[Path], row: int) -> Keys:
    """One row of all shards, end to end, without reading the others."""
    parts = [np.array(np.load(file, mmap_mode="r")[row]) for file in files]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)
