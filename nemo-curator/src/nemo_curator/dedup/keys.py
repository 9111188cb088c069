"""Deduplication keys on disk: per shard a table of 64-bit numbers, one row per kind of key and one column per document.

The last two rows are the UTF-8 length of each text and the figure that ranks it among its duplicates. The first line
of the file says how the keys were made; keys that were made in different ways are never compared.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..foundation.atomic import atomic_file
from ..foundation.errors import ArtifactError, ConfigError
from .columns import Column

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
HEAD_ALIGNMENT = 64
ROWS_BESIDE = 2
SORT_BYTES = 48
"""What a pass over keys takes per document: key, number, and the room to sort them."""


class KeyGather:
    """Keys of a shard's documents, batch by batch, for one deduplication step."""

    def __init__(self, keyer: Callable[[pa.Table], Keys], *, num_keys: int, recipe: str, score: str = "") -> None:
        self._keyer, self._num_keys, self._recipe, self._score = keyer, num_keys, recipe, score
        self._batches: list[Keys] = []

    def add(self, documents: pa.Table) -> None:
        """Take in a batch."""
        lengths = pc.binary_length(documents["text"]).combine_chunks().to_numpy(zero_copy_only=False)
        beside = np.vstack([lengths.astype(np.uint64), ranks(documents, self._score).view(np.uint64)])
        self._batches.append(np.vstack([self._keyer(documents), beside]))

    def write(self, path: Path) -> None:
        """Write the keys of the shard."""
        write(path, self._batches, rows=self._num_keys + ROWS_BESIDE, recipe=self._recipe)


def ranks(documents: pa.Table, column: str) -> npt.NDArray[np.float64]:
    """The score column as numbers, the lowest where it is null; zeros where no column is named."""
    if not column:
        return np.zeros(documents.num_rows)
    if column not in documents.column_names:
        raise ConfigError(f"score_column: no column {column!r}; columns here: {', '.join(documents.column_names)}")
    field = documents[column]
    if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
        raise ConfigError(f"score_column: {column!r} holds {field.type}, which has no order of numbers")
    values = field.cast(pa.float64()).combine_chunks().fill_null(-np.inf).to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(np.nan_to_num(values, nan=-np.inf, posinf=np.inf, neginf=-np.inf))


def write(path: Path, batches: Sequence[Keys], *, rows: int, recipe: str) -> None:
    """Write the keys of a shard; `rows` counts for a shard without documents."""
    whole = np.hstack(batches) if batches else np.zeros((rows, 0), np.uint64)
    with atomic_file(path) as handle:
        handle.write(head_of(whole.shape, recipe))
        handle.write(np.ascontiguousarray(whole).data)


def write_row(path: Path, keys: Column, *, recipe: str) -> None:
    """Write keys of one kind, which need not be in memory."""
    with atomic_file(path) as handle:
        handle.write(head_of((1, keys.size), recipe))
        keys.copy_to(handle)


def head_of(shape: tuple[int, ...], recipe: str) -> bytes:
    """The first line of a key file, filled up so that the keys behind it are aligned."""
    head = json.dumps({"recipe": recipe, "shape": list(shape)}).encode() + b"\n"
    return head[:-1] + b" " * (-len(head) % HEAD_ALIGNMENT) + b"\n"


def open_file(path: Path, *, recipe: str | None = None) -> Keys:
    """The table of a shard [rows, documents], not yet read. Raises ArtifactError where it was made in another way."""
    with open(path, "rb") as handle:
        line = handle.readline()
    head = json.loads(line)
    if recipe is not None and head["recipe"] != recipe:
        raise ArtifactError(
            f"{path}: its keys are {head['recipe']}, the others {recipe}; keys of different make cannot be compared"
        )
    shape = tuple(head["shape"])
    if 0 in shape:
        return np.zeros(shape, np.uint64)
    return np.memmap(path, np.uint64, "r", len(line), shape)


def recipe_of(path: Path) -> str:
    """How the keys of a file were made."""
    with open(path, "rb") as handle:
        return str(json.loads(handle.readline())["recipe"])


def key_ranges(needed_bytes: int, *, memory_bytes: int) -> Iterator[tuple[np.uint64, np.uint64]]:
    """First and last key of ascending ranges, so many that each needs `memory_bytes` at most (0: one range)."""
    count = max(1, -(-needed_bytes // memory_bytes)) if memory_bytes else 1
    for turn in range(count):
        yield np.uint64((turn << 64) // count), np.uint64(((turn + 1) << 64) // count - 1)


class KeyTable:
    """The keys of all shards, read a row at a time; documents are numbered through, shard after shard."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)
        self._recipe = recipe_of(files[0])
        shapes = [open_file(file, recipe=self._recipe).shape for file in files]
        self.num_keys = int(shapes[0][0]) - ROWS_BESIDE
        self.starts: Numbers = np.concatenate([[0], np.cumsum([shape[1] for shape in shapes])]).astype(np.int64)

    @property
    def num_documents(self) -> int:
        """Documents of all shards."""
        return int(self.starts[-1])

    def row(self, row: int) -> Keys:
        """One row of all shards, end to end, without reading the others."""
        return np.concatenate([np.asarray(open_file(file)[row]) for file in self._files])

    def lengths(self) -> Numbers:
        """UTF-8 bytes of every text."""
        return self.row(self.num_keys).astype(np.int64)

    def ranks(self) -> npt.NDArray[np.float64]:
        """The score of every document."""
        return self.row(self.num_keys + 1).view(np.float64)

    def passes(self, rows: Sequence[int], *, memory_bytes: int) -> Iterator[tuple[list[Keys], Numbers]]:
        """The keys in `rows` of documents that have text, with the documents' numbers.

        The first row's values are cut into ranges that ascend, one to a pass, so that sorting a pass stays within
        `memory_bytes` (0: one pass). Equal keys are in one pass, and numbers ascend in each.
        """
        needed = self.num_documents * (SORT_BYTES + 16 * (len(rows) - 1))
        for low, high in key_ranges(needed, memory_bytes=memory_bytes):
            yield self._range(rows, low, high)

    def _range(self, rows: Sequence[int], low: np.uint64, high: np.uint64) -> tuple[list[Keys], Numbers]:
        found: list[list[Keys]] = [[] for _ in rows]
        numbers = []
        for file, start in zip(self._files, self.starts[:-1], strict=True):
            table = open_file(file)
            first = np.asarray(table[rows[0]])
            picked = np.flatnonzero((table[self.num_keys] > 0) & (first >= low) & (first <= high))
            numbers.append(picked + start)
            for into, row in zip(found, rows, strict=True):
                into.append(np.asarray(table[row])[picked])
        return [np.concatenate(parts) for parts in found], np.concatenate(numbers)
