r"""Megatron indexed datasets (`.bin` + `.idx`): token ids end to end in one file, where each sequence lies in another.

Layout of an .idx file, little-endian (that of Megatron-Core, byte for byte): magic ``MMIDIDX\0\0``, version 1 (u64),
dtype code (u8), number of sequences (u64), number of document boundaries (u64), lengths in tokens (i32 each),
offsets into the .bin in bytes (i64 each), index of the first sequence of each document and one past the last (i64).
"""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..foundation import atomic
from ..foundation.errors import InputError

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
HEADER = struct.Struct("<9sQBQQ")
DTYPES: dict[int, DTypeLike] = {
    1: np.uint8,
    2: np.int8,
    3: np.int16,
    4: np.int32,
    5: np.int64,
    6: np.float64,
    7: np.float32,
    8: np.uint16,
}
LARGEST_UINT16_VOCABULARY = 65500


def token_dtype(vocab_size: int) -> np.dtype[np.generic]:
    """The narrowest type Megatron uses for a vocabulary: uint16 below 65,500 tokens, int32 from there on."""
    return np.dtype(np.uint16 if vocab_size < LARGEST_UINT16_VOCABULARY else np.int32)


def dtype_code(dtype: np.dtype[np.generic]) -> int:
    """The number that stands for `dtype` in an .idx file."""
    return next(code for code, known in DTYPES.items() if np.dtype(known) == dtype)


def index_bytes(lengths: NDArray[np.int32], dtype: np.dtype[np.generic]) -> bytes:
    """The .idx file of sequences of these lengths, each a document of its own."""
    offsets = np.zeros(len(lengths), dtype=np.int64)
    np.cumsum(lengths[:-1].astype(np.int64) * dtype.itemsize, out=offsets[1:])
    boundaries = np.arange(len(lengths) + 1, dtype=np.int64)
    header = HEADER.pack(MAGIC, VERSION, dtype_code(dtype), len(lengths), len(boundaries))
    return b"".join([header, lengths.astype("<i4").tobytes(), offsets.tobytes(), boundaries.tobytes()])


def write_index(prefix: Path, lengths: NDArray[np.int32], dtype: np.dtype[np.generic]) -> None:
    """Write `prefix`.idx for a `prefix`.bin that holds sequences of these lengths."""
    atomic.write_bytes(index_path(prefix), index_bytes(lengths, dtype))


def index_path(prefix: Path) -> Path:
    """The .idx file of a dataset; a prefix may hold dots of its own."""
    return prefix.with_name(f"{prefix.name}.idx")


def data_path(prefix: Path) -> Path:
    """The .bin file of a dataset."""
    return prefix.with_name(f"{prefix.name}.bin")


class IndexedDataset:
    """Sequences of token ids read through a memory map; `len` counts sequences, `tokens` is the whole stream."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        index, data = index_path(prefix), data_path(prefix)
        for path in (index, data):
            if not path.is_file():
                raise InputError(f"{path}: no such file; an indexed dataset is a .bin and an .idx of one name")
        buffer = np.memmap(index, dtype=np.uint8, mode="r")
        self.dtype, self.num_sequences, self.num_boundaries = read_header(index, bytes(buffer[: HEADER.size]))
        self.lengths, self.offsets, self.boundaries = read_tables(
            index, buffer, sequences=self.num_sequences, boundaries=self.num_boundaries
        )
        self.tokens = self._map_tokens(data)

    def _map_tokens(self, data: Path) -> NDArray[np.generic]:
        wanted = int(self.lengths.sum(dtype=np.int64)) * self.dtype.itemsize
        found = data.stat().st_size
        if found != wanted:
            raise InputError(f"{data}: {found} bytes, but its index says {wanted}; make the dataset again")
        if not wanted:
            return np.zeros(0, dtype=self.dtype)
        return np.memmap(data, dtype=self.dtype, mode="r")

    def __len__(self) -> int:
        return self.num_sequences

    def __getitem__(self, number: int) -> NDArray[np.generic]:
        if not 0 <= number < self.num_sequences:
            raise IndexError(f"sequence {number} of {self.num_sequences} in {self.prefix}")
        start = int(self.offsets[number]) // self.dtype.itemsize
        return self.tokens[start : start + int(self.lengths[number])]


def read_header(path: Path, raw: bytes) -> tuple[np.dtype[np.generic], int, int]:
    """Token type, number of sequences and of document boundaries. Raises InputError for a foreign or cut file."""
    if len(raw) < HEADER.size or not raw.startswith(MAGIC):
        raise InputError(f"{path}: not a Megatron index (it does not start with {MAGIC!r})")
    _, version, code, sequences, boundaries = HEADER.unpack(raw)
    if version != VERSION or code not in DTYPES:
        raise InputError(f"{path}: index version {version}, token type {code}; known: version {VERSION}, types 1 to 8")
    return np.dtype(DTYPES[code]), sequences, boundaries


def read_tables(
    path: Path, buffer: NDArray[np.uint8], *, sequences: int, boundaries: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Lengths, byte offsets and document boundaries that follow the header. Raises InputError for a cut file."""
    sizes: Sequence[int] = (4 * sequences, 8 * sequences, 8 * boundaries)
    if len(buffer) < HEADER.size + sum(sizes):
        raise InputError(f"{path}: cut short ({len(buffer)} bytes, {HEADER.size + sum(sizes)} expected)")
    after_lengths = HEADER.size + sizes[0]
    return (
        np.frombuffer(buffer, "<i4", count=sequences, offset=HEADER.size),
        np.frombuffer(buffer, "<i8", count=sequences, offset=after_lengths),
        np.frombuffer(buffer, "<i8", count=boundaries, offset=after_lengths + sizes[1]),
    )
