"""One process's part of a state: a safetensors file of blocks, hashed while it is written.

The file is what torch's own ``HuggingFaceStorageReader`` takes for one shard of a distributed checkpoint: every block
under the name of its tensor, and where it begins under ``DCP_SHARDING_INFO`` in the header.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..foundation import atomic
from .state_piece import Piece

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
ALIGNMENT = 8


@dataclass(frozen=True)
class FileEntry:
    """A file as the index lists it."""

    bytes: int
    sha256: str


def write_pieces(path: Path, pieces: Sequence[Piece]) -> FileEntry:
    """Write the blocks and sync them to disk. Raises DiskFull where there is no room."""
    digest, size = hashlib.sha256(), 0
    with atomic.explain_disk_full(path), open(path, "wb", buffering=0) as handle:
        for chunk in parts_of(pieces):
            write_all(handle.fileno(), chunk)
            digest.update(chunk)
            size += len(chunk)
        os.fsync(handle.fileno())
    return FileEntry(size, digest.hexdigest())


def parts_of(pieces: Sequence[Piece]) -> "Iterator[bytes | memoryview]":
    """The header, then the numbers of each block."""
    yield header_of(pieces)
    for piece in pieces:
        yield raw_bytes(piece.data)


def write_all(descriptor: int, chunk: "bytes | memoryview") -> None:
    """Write every byte: one call to the system may take only a part."""
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def header_of(pieces: Sequence[Piece]) -> bytes:
    """Length and JSON header of the file, padded so that numbers lie aligned."""
    offsets = {piece.name: {"saved_offsets": list(piece.offset)} for piece in pieces}
    entries: dict[str, Any] = {"__metadata__": {"format": "pt", "DCP_SHARDING_INFO": json.dumps(offsets)}}
    end = 0
    for piece in pieces:
        start, end = end, end + piece.num_bytes
        entries[piece.name] = {
            "dtype": DTYPES[piece.data.dtype],
            "shape": list(piece.data.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def raw_bytes(tensor: Tensor) -> memoryview:
    """The numbers of a CPU tensor as bytes, without a copy where they lie in one stretch."""
    numbers: Any = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(numbers)
